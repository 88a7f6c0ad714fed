"""LangChain: a chain, a tool that the model asks for, and a stream."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool  # type: ignore[untyped-decorator]
def population(city: str) -> str:
    """Say how many people live in a city."""
    return f"{len(city)} million"


def hello(topic: str) -> dict[str, Any]:
    """Ask four times, of which two are about a tool."""
    model = ChatOpenAI(model="gpt-5.4-mini")
    prompt = ChatPromptTemplate.from_template("Tell me a short joke about {topic}")
    joke = (prompt | model | StrOutputParser()).invoke({"topic": topic})
    talk: list[AnyMessage] = [HumanMessage("How many people live in Paris?")]
    asked = model.bind_tools([population], tool_choice="population").invoke(talk)
    talk += [asked, *(population.invoke(call) for call in asked.tool_calls)]
    people = model.invoke(talk)
    streamed = "".join(chunk.text for chunk in model.stream(f"Count to three, {topic}"))
    return {
        "joke": joke,
        "asked": [call["args"] for call in asked.tool_calls],
        "people": people.content,
        "usage": people.usage_metadata,
        "streamed": streamed,
    }
