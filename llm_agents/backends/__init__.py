"""Backends: whatever answers a language agent's requests, behind one batch-first interface."""

from llm_agents.backends.base import (
    Backend,
    BackendDownError,
    BackendError,
    Capabilities,
    ChatMessage,
    LimitReachedError,
    Request,
    Response,
    Usage,
)

__all__ = [
    "Backend",
    "BackendDownError",
    "BackendError",
    "Capabilities",
    "ChatMessage",
    "LimitReachedError",
    "Request",
    "Response",
    "Usage",
]
