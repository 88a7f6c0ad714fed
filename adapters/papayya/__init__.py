"""Papayya for plain Python: ``from papayya import agent, run``.

The names below are the whole public surface; everything else is private.
"""

from __future__ import annotations

from papayya.agents import AgentFunction, agent
from papayya.budgets import (
    Budget,
    Budgets,
    InvalidBudget,
    InvalidLimit,
    Limits,
    RateLimit,
    budget,
    limit,
)
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
    "Budget",
    "BudgetExhausted",
    "BudgetPaused",
    "Budgets",
    "CallFacts",
    "CheckContext",
    "CurrentRun",
    "Finding",
    "Identity",
    "InvalidBudget",
    "InvalidKey",
    "InvalidLimit",
    "ItemCancelled",
    "ItemFailed",
    "ItemParked",
    "ItemResult",
    "ItemTakenOver",
    "ItemTookTooLong",
    "ItemWasCancelled",
    "Limits",
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
    "RateLimit",
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
    "budget",
    "configure",
    "hookimpl",
    "limit",
    "papayya",
    "retriever",
    "run",
]
