"""What an operator sees: logs, and OpenTelemetry's spans and metrics where its API is installed."""
