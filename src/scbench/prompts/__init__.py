"""Prompts: how a session is asked, as text (`templates`) and as token ids that only ever extend (`dialogue`)."""
