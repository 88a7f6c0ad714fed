"""LlamaIndex: a completion, a chat, a stream, and a question to an index of documents."""

from __future__ import annotations

from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

TEXTS = ("Bicycles are lent at the gate.", "Tents may stay for three nights.", "Dogs are welcome.")


def hello(topic: str) -> dict[str, Any]:
    """Ask four times; the index also embeds its documents and the question."""
    llm = OpenAI(model="gpt-5-mini")
    talk = [
        ChatMessage(role="system", content="You are a pirate with a colourful personality."),
        ChatMessage(role="user", content=f"What do you think of {topic}?"),
    ]
    embedding = OpenAIEmbedding(model="text-embedding-3-small")
    documents = [Document(text=text) for text in TEXTS]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    answer = index.as_query_engine(llm=llm, similarity_top_k=2).query(f"Where are {topic}?")
    return {
        "complete": llm.complete(f"{topic} are ").text,
        "chat": llm.chat(talk).message.content,
        "stream": "".join(part.delta or "" for part in llm.stream_complete(f"Who likes {topic}?")),
        "answer": str(answer),
        "sources": [node.text for node in answer.source_nodes],
    }
