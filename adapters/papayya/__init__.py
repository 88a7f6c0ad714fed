"""Papayya for plain Python: ``from papayya import agent, run``.

The names below are the whole public surface; everything else is private.
"""

from __future__ import annotations

from papayya.agents import AgentFunction, agent
from papayya.current import CurrentRun
from papayya.handles import Papayya, RunHandle, papayya
from papayya.retrieval import retriever
from papayya.runs import NamedRun
from papayya_core.call import (
    Answered,
    Asked,
    CallFacts,
    Message,
    Priced,
    PriceQuestion,
    Tokens,
    ToolCall,
    ToolResult,
)
from papayya_core.checks import CheckContext, Identity
from papayya_core.context import bind
from papayya_core.contract import Agent, Finding, ItemResult, Transition
from papayya_core.errors import (
    BudgetExhausted,
    BudgetPaused,
    InvalidKey,
    ItemCancelled,
    ItemFailed,
    ItemParked,
    ItemTakenOver,
    ItemTookTooLong,
    ItemWasCancelled,
    NonRetriable,
    NotInItem,
    OutputUnavailable,
    PapayyaError,
    Paused,
    Reject,
    StoreError,
    StoreUnavailable,
    Throttled,
)
from papayya_core.hookspecs import hookimpl
from papayya_core.rules import RetryDecision
from papayya_core.runtime import configure
from papayya_core.settings import Settings

run = CurrentRun()
"""The current run and item; called, a named run."""

__all__ = [
    "Agent",
    "AgentFunction",
    "Answered",
    "Asked",
    "BudgetExhausted",
    "BudgetPaused",
    "CallFacts",
    "CheckContext",
    "CurrentRun",
    "Finding",
    "Identity",
    "InvalidKey",
    "ItemCancelled",
    "ItemFailed",
    "ItemParked",
    "ItemResult",
    "ItemTakenOver",
    "ItemTookTooLong",
    "ItemWasCancelled",
    "Message",
    "NamedRun",
    "NonRetriable",
    "NotInItem",
    "OutputUnavailable",
    "Papayya",
    "PapayyaError",
    "Paused",
    "PriceQuestion",
    "Priced",
    "Reject",
    "RetryDecision",
    "RunHandle",
    "Settings",
    "StoreError",
    "StoreUnavailable",
    "Throttled",
    "Tokens",
    "ToolCall",
    "ToolResult",
    "Transition",
    "agent",
    "bind",
    "configure",
    "hookimpl",
    "papayya",
    "retriever",
    "run",
]
