"""Answer questions from a handbook: passages from pgvector, words from a model, both accounted for."""

from __future__ import annotations

import sys
from typing import Any

import model
import vectors
from handbook import PASSAGES, QUESTIONS

from papayya import agent, retriever, run


@agent
def learn(name: str) -> None:
    """Keep a passage of the handbook with its vector."""
    vectors.keep(name, PASSAGES[name], model.place(PASSAGES[name], vectors.SIZE))


@retriever
def passages(question: str) -> list[dict[str, Any]]:
    """Find what the handbook says; this is what `run.retrieve` calls."""
    return vectors.nearest(model.place(question, vectors.SIZE))


@agent
def answer(question: str) -> dict[str, str]:
    """Answer from what was retrieved, and say from where."""
    found = run.retrieve(question)
    text = model.answer(question, (each["text"] for each in found))
    sources = ", ".join(each["name"] for each in found)
    return {"question": question, "answer": text, "sources": sources}


def main() -> int:
    """Learn the handbook unless that was done, and answer."""
    questions = sys.argv[1:] or QUESTIONS
    vectors.prepare()
    with run("learn", run_id="handbook"):
        results = list(learn.map(PASSAGES))
    with run("questions", run_id="questions"):
        results += answer.map(questions)
    answered = {said["question"]: said for result in results if (said := result.output)}
    for said in filter(None, map(answered.get, questions)):
        print(f"{said['question']}\n  {said['answer']}\n  from {said['sources']}")
    failed = [result for result in results if result.state != "completed"]
    for result in failed:
        print(f"{result.key}: {result.state}: {result.reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
