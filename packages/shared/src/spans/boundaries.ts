/** A boundary that trace context crosses. The specification's table of propagation is generated from these. */
export interface Boundary {
  readonly from: string;
  readonly to: string;
  readonly carrier: string;
}

export const BOUNDARIES: readonly Boundary[] = [
  {
    from: "HTTP client",
    to: "Worker",
    carrier: "headers `traceparent`, `tracestate`, from authenticated callers",
  },
  {
    from: "Worker",
    to: "HTTP client",
    carrier:
      "header `traceresponse` with the request's span (Trace Context Level 3, a draft), on every answer to an authenticated request that changes something",
  },
  { from: "Worker", to: "SessionAgent", carrier: "header `traceparent`, or an explicit argument of a call" },
  { from: "SessionAgent", to: "broker", carrier: "header `traceparent`" },
  {
    from: "SessionAgent",
    to: "sandbox",
    carrier:
      "`TRACEPARENT`, `TRACESTATE` in the environment at create and restore; the runner deletes them and `BAGGAGE` from its own environment",
  },
  {
    from: "SessionAgent",
    to: "runner",
    carrier: "optional `traceparent`, `tracestate` with `prompt`, `workflow-execute`, `repo-config`",
  },
  {
    from: "runner",
    to: "OpenCode",
    carrier: "header `traceparent` on each call that belongs to an operation",
  },
  {
    from: "OpenCode",
    to: "model provider",
    carrier:
      "header `traceparent`, the context of the `chat`, on each try, unless `VALET_PROVIDER_TRACEPARENT` is `false`; `tracestate` only to the hosts of `VALET_PROVIDER_TRACESTATE_HOSTS`, and not where they redirect to; neither if Valet's plugin cannot tell which call it is, or the runner does not answer it within 250 ms",
  },
  {
    from: "OpenCode",
    to: "the agent's shell",
    carrier:
      "`TRACEPARENT`, `TRACESTATE`: the context of the tool call; none if Valet's plugin cannot tell which call it is, or the runner does not answer it within 250 ms",
  },
  { from: "runner", to: "a workflow's command", carrier: "`TRACEPARENT`, `TRACESTATE`: the context of its step" },
  {
    from: "a command's program",
    to: "runner",
    carrier:
      "OTLP, with `VALET_AGENT_OTLP=on`: the trace and parent ids of its spans, in the trace of the command or adopted into it",
  },
  {
    from: "OpenCode's tool",
    to: "runner",
    carrier: "the ids of OpenCode's session, message and call, from which the runner derives the call's span",
  },
  { from: "runner", to: "SessionAgent", carrier: "optional `traceparent`, `tracestate` with `child-session-request`" },
  { from: "session", to: "child session", carrier: "the context of the spawning tool call, for a link" },
  { from: "child session", to: "parent", carrier: "the context of `valet.child_session.report`, for a link" },
  {
    from: "SessionAgent",
    to: "itself, later",
    carrier: "contexts of operations, stored with their state, after the guard that may skip the operation",
  },
];
