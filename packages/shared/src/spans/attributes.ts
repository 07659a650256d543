import { ERROR_TYPES, FAILURE_TYPES, OUTCOME_REASONS } from "./error-types.ts";
import { OUTCOMES } from "./outcomes.ts";
import {
  BROKER_CALLS,
  CHILD_SESSION_EVENTS,
  FAILURE_POLICIES,
  HIBERNATE_REASONS,
  HTTP_METHODS,
  LINK_TYPES,
  MESSAGE_SOURCES,
  PERMISSION_REPLIES,
  QUEUE_MODES,
  QUEUE_REASONS,
  REPOSITORY_CONFIGS,
  RESTORE_REASONS,
  SANDBOX_DRIVERS,
  SANDBOX_STAGES,
  SPAWN_REASONS,
  START_SOURCES,
  STEP_TYPES,
  TERMINATE_REASONS,
} from "./values.ts";

/** What the catalogue says of one attribute key. */
export interface AttributeDefinition {
  readonly type: "string" | "int" | "double" | "boolean" | "string[]";
  /** The closed list of what it may hold. */
  readonly values?: readonly string[];
  /** For numbers that count neither things nor milliseconds. Those are told by their name. */
  readonly unit?: string;
  /** What people, models or files said: recorded only where content capture is on. */
  readonly content?: true;
  readonly meaning: string;
}

/** Every key that a span, a link or an event of ours may carry. */
export const ATTRIBUTES = {
  // On every span
  "valet.session.id": { type: "string", meaning: "the session" },
  "session.id": { type: "string", meaning: "the same; Phoenix and Langfuse group by it" },
  "gen_ai.conversation.id": { type: "string", meaning: "the same; GenAI views group by it" },
  "valet.generation": { type: "int", meaning: "which sandbox of the session this belongs to, from 1" },
  "valet.last_seen_ms": {
    type: "int",
    unit: "ms since 1970",
    meaning:
      "the last sign of life of whoever has this span open, or left it open; only while it is open, and where the outcome is `lost`",
  },
  "valet.last_heard_ms": {
    type: "int",
    unit: "ms since 1970",
    meaning:
      "when something last came from what the span waits for: a piece of the answer, output of the tool; only while it is open, or where it was left open",
  },
  "valet.outcome": { type: "string", values: OUTCOMES, meaning: "how it ended" },
  "error.type": {
    type: "string",
    values: FAILURE_TYPES,
    meaning: "why it failed; only where the outcome is `error` or `lost`. Of a request: its status, from 500 on",
  },
  "valet.outcome.reason": {
    type: "string",
    values: OUTCOME_REASONS,
    meaning: "why it came to another outcome than `ok`, `error` and `lost`",
  },
  "valet.error.cause": {
    type: "string",
    values: ERROR_TYPES,
    meaning: "what lies behind the `error.type`: why the last model failed, or the first step of a workflow",
  },
  "valet.start.attempt_count": {
    type: "int",
    meaning: "how many starts had failed when no other was tried, and what waited for one with them",
  },
  "valet.link.type": { type: "string", values: LINK_TYPES, meaning: "on a link: why it is there" },

  // Messages, queue and dispatch
  "valet.message.id": { type: "string", meaning: "the message; in a collected batch the first" },
  "valet.message.source": { type: "string", values: MESSAGE_SOURCES, meaning: "who sent it" },
  "valet.message.content_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the text" },
  "valet.message.attachment_count": { type: "int", meaning: "attachments of the message" },
  "valet.channel.id": { type: "string", meaning: "the channel: one turn at a time in each" },
  "valet.thread.id": { type: "string", meaning: "the thread that the sender named" },
  "valet.queue.wait_ms": {
    type: "int",
    meaning: "to dispatch, from acceptance or from being taken back; in a batch, of the one that waited longest",
  },
  "valet.queue.reason": { type: "string", values: QUEUE_REASONS, meaning: "what it waited for last" },
  "valet.queue.mode": { type: "string", values: QUEUE_MODES, meaning: "what it does when another is in work" },
  "valet.queue.position": { type: "int", meaning: "how many were before it when it was accepted" },
  "valet.capacity.place": {
    type: "int",
    meaning: "place among the sessions that wait for a sandbox, from 1",
  },
  "valet.collect.message_count": { type: "int", meaning: "messages merged into the dispatch" },
  "valet.collect.buffer_ms": { type: "int", meaning: "from the first message of the batch to its dispatch" },
  "valet.collect.message_ids": { type: "string[]", meaning: "the messages of the batch, in order" },
  "valet.dispatch.attempt_id": { type: "string", meaning: "one attempt to have a message or workflow worked on" },
  "valet.dispatch.attempt": { type: "int", meaning: "which attempt of the message or workflow this is, from 1" },
  "valet.dispatch.sent": { type: "boolean", meaning: "whether it went onto the link" },

  // Turns and agents
  "valet.turn.failover_count": { type: "int", meaning: "models that were given up for the next of the list" },
  "valet.turn.model_call_count": {
    type: "int",
    meaning: "model calls, those of sub-agents included; one that was retried is one",
  },
  "valet.turn.tool_call_count": { type: "int", meaning: "tool calls, those of sub-agents included" },
  "valet.turn.tool_error_count": { type: "int", meaning: "tool calls that failed" },
  "valet.turn.retry_count": { type: "int", meaning: "tries of model calls after each call's first" },
  "valet.turn.time_to_first_token_ms": {
    type: "int",
    meaning: "from the start of the first model call that answered to its first token",
  },
  "valet.turn.prepare_ms": { type: "int", meaning: "before the agent called a model, in which it prepared to" },
  "valet.turn.response_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the answer" },
  "valet.failover.model": { type: "string", meaning: "the model that this attempt is with, as `provider/model`" },
  "valet.failover.attempt": { type: "int", meaning: "place of this model in the list of preference, from 1" },
  "valet.opencode.session.id": { type: "string", meaning: "the agent's own session" },
  "valet.opencode.message.id": { type: "string", meaning: "the agent's own message" },
  "valet.opencode.version": { type: "string", meaning: "version of OpenCode" },
  "valet.opencode.restart": { type: "boolean", meaning: "whether it came back after it died" },
  "valet.opencode.repository_config": {
    type: "string",
    values: REPOSITORY_CONFIGS,
    meaning: "what of the repository's configuration it was started with",
  },
  "valet.mcp.server.name": { type: "string", meaning: "the MCP server, by its name in the configuration" },
  "valet.compaction.auto": { type: "boolean", meaning: "whether the agent began it by itself" },
  "gen_ai.operation.name": { type: "string", meaning: "what kind of GenAI span this is" },
  "gen_ai.agent.name": { type: "string", meaning: "the agent that works or calls" },
  "gen_ai.provider.name": { type: "string", meaning: "the convention's name of the provider, or its own id" },
  "gen_ai.system": { type: "string", meaning: "the same under its former key, which older tools read" },

  // Model calls
  "gen_ai.request.model": { type: "string", meaning: "the model that was asked for" },
  "gen_ai.request.stream": { type: "boolean", meaning: "`true`: OpenCode streams every answer" },
  "gen_ai.response.finish_reasons": {
    type: "string[]",
    meaning:
      "why it stopped: `stop`, `length`, `content_filter`, `tool_call`, or another word of the provider; `error` where the call failed or was cut short",
  },
  "gen_ai.response.time_to_first_chunk": {
    type: "double",
    unit: "s",
    meaning: "from the start of the call, or of the try, to the first chunk of the answer",
  },
  "gen_ai.usage.input_tokens": { type: "int", meaning: "tokens in, those read from and written to the cache included" },
  "gen_ai.usage.output_tokens": { type: "int", meaning: "tokens out, reasoning included" },
  "gen_ai.usage.cache_read.input_tokens": { type: "int", meaning: "of the tokens in: read from the cache" },
  "gen_ai.usage.cache_write.input_tokens": { type: "int", meaning: "of the tokens in: written to the cache" },
  "gen_ai.usage.cache_creation.input_tokens": {
    type: "int",
    meaning: "the same under its former key, which older tools read",
  },
  "gen_ai.usage.reasoning.output_tokens": { type: "int", meaning: "of the tokens out: reasoning" },
  "valet.llm.cost_usd": {
    type: "double",
    unit: "USD",
    meaning: "what the call cost, where prices are known; no convention has a key for it",
  },
  "valet.llm.usage_inconsistent": {
    type: "boolean",
    meaning:
      "whether the provider's counts cannot be: a part larger than its whole is cut to that; what is no whole number from 0 to 100 million is left out, and the cost with it",
  },
  "valet.llm.attempt": { type: "int", meaning: "which try of the same call this is, or is waited for, from 1" },
  "valet.llm.start_source": { type: "string", values: START_SOURCES, meaning: "how exact the start is" },
  "valet.retry.delay_ms": { type: "int", meaning: "the wait that was announced" },
  "gen_ai.conversation.compacted": {
    type: "boolean",
    meaning: "`true` where the agent has summed up earlier parts of the conversation; absent where that is not known",
  },
  "gen_ai.output.messages": {
    type: "string",
    content: true,
    meaning:
      "JSON: one message, `[{role, parts}]`; parts are `text`, `reasoning` and `tool_call` {id, name, arguments}",
  },

  // Tools and waits for a person
  "gen_ai.tool.name": { type: "string", meaning: "the tool" },
  "gen_ai.tool.type": { type: "string", values: ["function"], meaning: "what kind of tool" },
  "gen_ai.tool.call.id": { type: "string", meaning: "the model's id of the call" },
  "gen_ai.tool.call.arguments": { type: "string", content: true, meaning: "JSON" },
  "gen_ai.tool.call.result": {
    type: "string",
    content: true,
    meaning: "JSON: `{output}`; only where the tool succeeded",
  },
  "valet.tool.input_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the arguments as JSON" },
  "valet.tool.output_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the result" },
  "process.exit.code": { type: "int", meaning: "what a command ended with; absent where a signal killed it" },
  "valet.process.signal": {
    type: "string",
    meaning: "the signal that killed a command: `SIGKILL`, say; no convention has a key for it",
  },
  "valet.permission.id": { type: "string", meaning: "the agent's id of the request" },
  "valet.permission.type": { type: "string", meaning: "what it asks leave for: `bash`, `edit`, …" },
  "valet.permission.reply": { type: "string", values: PERMISSION_REPLIES, meaning: "what the person answered" },
  "valet.question.id": { type: "string", meaning: "the agent's id of the request" },
  "valet.question.count": { type: "int", meaning: "questions in it" },

  // Sandboxes
  "valet.sandbox.id": { type: "string", meaning: "the broker's id of the sandbox" },
  "valet.sandbox.driver": { type: "string", values: SANDBOX_DRIVERS, meaning: "the engine that runs it" },
  "valet.sandbox.stage": { type: "string", values: SANDBOX_STAGES, meaning: "the last stage that was reached" },
  "valet.snapshot.id": { type: "string", meaning: "the snapshot taken or restored" },
  "valet.snapshot.size_bytes": { type: "int", unit: "bytes", meaning: "its size" },
  "valet.snapshot.left_out_count": {
    type: "int",
    meaning:
      "files that it does not hold: sockets, devices, other users' files; the broker's snapshot.json names the first",
  },
  "valet.spawn.reason": { type: "string", values: SPAWN_REASONS, meaning: "why a sandbox was needed" },
  "valet.restore.reason": { type: "string", values: RESTORE_REASONS, meaning: "why it was woken" },
  "valet.hibernate.reason": { type: "string", values: HIBERNATE_REASONS, meaning: "why it was put to sleep" },
  "valet.terminate.reason": { type: "string", values: TERMINATE_REASONS, meaning: "why it was ended" },
  "valet.recovery.attempt": {
    type: "int",
    meaning: "which attempt to recover this is, from 1; absent on a first start",
  },
  "valet.broker.call": { type: "string", values: BROKER_CALLS, meaning: "the call in the broker's contract" },

  // The runner's start
  "valet.runner.restart_count": { type: "int", meaning: "how often the runner was restarted in this generation" },
  "valet.connect.attempt_count": { type: "int", meaning: "tries until the link stood" },
  "valet.clock.offset_ms": { type: "double", meaning: "the runner's clock minus the SessionAgent's" },
  "vcs.repository.url.full": { type: "string", meaning: "the repository, without credentials" },
  "vcs.ref.head.name": { type: "string", meaning: "the branch or ref that was asked for" },
  "vcs.ref.head.revision": { type: "string", meaning: "the commit that was checked out" },

  // Workflows and child sessions
  "valet.workflow.name": { type: "string", meaning: "the workflow" },
  "gen_ai.workflow.name": { type: "string", meaning: "the same under the convention's key" },
  "valet.workflow.execution.id": { type: "string", meaning: "this execution of it" },
  "valet.workflow.step_count": { type: "int", meaning: "steps in all" },
  "valet.workflow.failed_step_count": { type: "int", meaning: "steps that failed" },
  "valet.workflow.on_failure": {
    type: "string",
    values: FAILURE_POLICIES,
    meaning: "what happens after one that failed",
  },
  "valet.workflow.step.name": { type: "string", meaning: "the step" },
  "valet.workflow.step.index": { type: "int", meaning: "its place, from 0" },
  "valet.workflow.step.type": { type: "string", values: STEP_TYPES, meaning: "what it runs" },
  "valet.child_session.id": { type: "string", meaning: "the child session" },
  "valet.parent_session.id": { type: "string", meaning: "the session that spawned this one" },
  "valet.child_session.event": { type: "string", values: CHILD_SESSION_EVENTS, meaning: "what the parent is told" },

  // HTTP
  "http.request.method": { type: "string", values: HTTP_METHODS, meaning: "the method" },
  "http.route": { type: "string", meaning: "the route's template, `/api/sessions/:id`" },
  "http.response.status_code": { type: "int", meaning: "the status that was answered" },
  "url.path": { type: "string", meaning: "the path, without the query" },
  "url.scheme": { type: "string", meaning: "`http` or `https`" },
  "server.address": { type: "string", meaning: "host that was called" },
  "server.port": { type: "int", meaning: "port that was called" },

  // The trace plane's own losses
  "valet.dropped_spans.queue_full": { type: "int", meaning: "the queue, or the session's trace store, was full" },
  "valet.dropped_spans.rejected": { type: "int", meaning: "the backend took the batch and refused these" },
  "valet.dropped_spans.invalid": {
    type: "int",
    meaning: "the session's trace store did not take these: malformed, or no spans of this session",
  },
  "valet.dropped_spans.late": {
    type: "int",
    meaning: "ended after they had been sealed: the backend has each once, with the outcome `lost`",
  },
  "valet.dropped_spans.retries_exhausted": { type: "int", meaning: "every retry failed" },
  "valet.dropped_spans.not_retryable": { type: "int", meaning: "the backend's answer forbids another try" },
  "valet.dropped_spans.too_large": { type: "int", meaning: "the request would have been over the limit" },
  "valet.dropped_spans.shutdown": { type: "int", meaning: "the process ended first" },

  // Exceptions
  "exception.type": { type: "string", meaning: "its class or code" },
  "exception.message": { type: "string", content: true, meaning: "its text" },
  "exception.stacktrace": { type: "string", meaning: "its frames; with its text only where content is captured" },
} as const satisfies Record<string, AttributeDefinition>;

export type AttributeKey = keyof typeof ATTRIBUTES;

/** What a resource says of whoever emits. */
export const RESOURCE_ATTRIBUTES = {
  "service.name": { type: "string", meaning: "`valet-worker`, `valet-runner` or `valet-broker`" },
  "service.version": { type: "string", meaning: "version of the package that emits" },
  "service.instance.id": { type: "string", meaning: "a random UUID for each process, isolate or object in memory" },
  "valet.session.id": { type: "string", meaning: "the session, where the process serves only one" },
  "valet.generation": { type: "int", meaning: "its generation; the runner's only" },
} as const satisfies Record<string, AttributeDefinition>;
