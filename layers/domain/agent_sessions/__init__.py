"""Conversation sessions between users and AI agents: their rules, their store, their events, their HTTP API."""
