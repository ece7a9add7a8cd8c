"""The venue-free half of the simulators: market flow, matching, ledger and faults.

Rule: nothing in here knows a wire format. A venue's `simulator*.py` modules turn its protocol into calls on
`SimulatedExchange` and turn the reports that come back into the venue's own messages.
"""
