import { ERROR_TYPES, FAILURE_TYPES, marked, OUTCOME_REASONS } from "./error-types.ts";
import { OUTCOMES } from "./outcomes.ts";
import {
  BROKER_CALLS,
  CHANGES_UNKNOWN,
  CHILD_SESSION_EVENTS,
  DELETE_REASONS,
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
  WARM_UP_SCOPES,
} from "./values.ts";

/** One attribute key in the catalogue. */
export interface AttributeDefinition {
  readonly type: "string" | "int" | "double" | "boolean" | "string[]";
  /** The closed list of its values. */
  readonly values?: readonly string[];
  /** For numbers other than counts and milliseconds, which their names show. */
  readonly unit?: string;
  /** Content of people, models or files: recorded only if content capture is on. */
  readonly content?: true;
  readonly meaning: string;
}

/** Every key that Valet's spans, links and events may have. */
export const ATTRIBUTES = {
  // On every span
  "valet.session.id": { type: "string", meaning: "the session" },
  "session.id": { type: "string", meaning: "also the session: Phoenix and Langfuse group by it" },
  "gen_ai.conversation.id": { type: "string", meaning: "also the session: GenAI views group by it" },
  "user.id": {
    type: "string",
    meaning:
      "for whom the work is done: the owner of the caller's token, or the `user` that the request names if its token speaks for others; of a collected batch the user of the first message",
  },
  "vcs.repository.url.full": {
    type: "string",
    meaning: "the session's repository: its canonical URL, without credentials and without `.git`",
  },
  "vcs.ref.head.name": { type: "string", meaning: "the branch that the session was created with, or else its ref" },
  "valet.parent_session.id": { type: "string", meaning: "the session that spawned this one" },
  "valet.generation": { type: "int", meaning: "number of the session's sandbox that the span belongs to, from 1" },
  "valet.last_seen_ms": {
    type: "int",
    unit: "ms since 1970",
    meaning:
      "the last sign of life of the process that has, or had, this span open; only while the span is open, and for the outcome `lost`",
  },
  "valet.last_heard_ms": {
    type: "int",
    unit: "ms since 1970",
    meaning:
      "time of the last progress of what the span waits for: a chunk of the answer, output of the tool; only while the span is open, or if nothing ended it",
  },
  "valet.outcome": { type: "string", values: OUTCOMES, meaning: "how the operation ended" },
  "error.type": {
    type: "string",
    values: FAILURE_TYPES,
    meaning: "why it failed; only for the outcomes `error` and `lost`. On a request: its status code, from 500 on",
  },
  "valet.outcome.reason": {
    type: "string",
    values: OUTCOME_REASONS,
    meaning: "why it ended with an outcome other than `ok`, `error` and `lost`",
  },
  "valet.error.cause": {
    type: "string",
    values: ERROR_TYPES,
    meaning:
      "the cause of the `error.type`: why the last model failed, or the first step of a workflow; for the outcome `lost`, what ended the runner, where that is known",
  },
  "valet.start.attempt_count": {
    type: "int",
    meaning: "failed starts after which the session gave up, and the work that waited for a start failed",
  },
  "valet.aborted_by": {
    type: "string",
    meaning:
      "the user who ended the work early: who aborted it, withdrew it, terminated the session, or sent the message that took its place",
  },
  "valet.answered_by": { type: "string", meaning: "the user who answered the agent's request" },
  "valet.link.type": { type: "string", values: LINK_TYPES, meaning: "on a link: how the two spans relate" },

  // Messages, queue and dispatch
  "valet.message.id": { type: "string", meaning: "the message; of a collected batch the first" },
  "valet.message.source": { type: "string", values: MESSAGE_SOURCES, meaning: "who sent it" },
  "valet.message.content_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the text" },
  "valet.message.attachment_count": { type: "int", meaning: "number of the message's attachments" },
  "valet.channel.id": { type: "string", meaning: "the channel; a channel has one turn at a time" },
  "valet.thread.id": { type: "string", meaning: "the thread that the sender named" },
  "valet.queue.wait_ms": {
    type: "int",
    meaning: "time from acceptance, or from being requeued, to dispatch; of a batch, the longest wait of its messages",
  },
  "valet.queue.reason": { type: "string", values: QUEUE_REASONS, meaning: "what the job waited for last" },
  "valet.queue.mode": { type: "string", values: QUEUE_MODES, meaning: "what the job does if another one is running" },
  "valet.queue.position": { type: "int", meaning: "number of jobs before it when it was accepted" },
  "valet.capacity.place": {
    type: "int",
    meaning: "position among the sessions that wait for a sandbox, from 1",
  },
  "valet.collect.message_count": { type: "int", meaning: "number of messages merged into the dispatch" },
  "valet.collect.buffer_ms": { type: "int", meaning: "time from the first message of the batch to its dispatch" },
  "valet.collect.message_ids": { type: "string[]", meaning: "the messages of the batch, in order" },
  "valet.dispatch.attempt_id": { type: "string", meaning: "the attempt: one dispatch of a message or workflow" },
  "valet.dispatch.attempt": { type: "int", meaning: "number of the attempt for this message or workflow, from 1" },
  "valet.dispatch.sent": { type: "boolean", meaning: "whether it was sent over the link" },

  // Turns and agents
  "valet.turn.failover_count": { type: "int", meaning: "number of failovers to the next model of the preference list" },
  "valet.turn.model_call_count": {
    type: "int",
    meaning: "number of model calls, including those of sub-agents; retries do not count",
  },
  "valet.turn.tool_call_count": { type: "int", meaning: "number of tool calls, including those of sub-agents" },
  "valet.turn.tool_error_count": { type: "int", meaning: "number of failed tool calls" },
  "valet.turn.retry_count": { type: "int", meaning: "number of retries of model calls" },
  "valet.turn.time_to_first_token_ms": {
    type: "int",
    meaning: "time from the start of the first model call that answered to its first token",
  },
  "valet.turn.prepare_ms": { type: "int", meaning: "time that the agent prepared before its first model call" },
  "valet.usage.cpu_ms": {
    type: "int",
    meaning:
      "processor time that the sandbox's agent and commands used meanwhile, whichever work it was for; on a tool call of more than a second",
  },
  "valet.usage.memory_peak_bytes": {
    type: "int",
    unit: "bytes",
    meaning: "the most memory that they had at once meanwhile, looked at four times a second, without cached files",
  },
  "valet.usage.disk_written_bytes": {
    type: "int",
    unit: "bytes",
    meaning: "what they wrote to files on disks meanwhile",
  },
  "valet.turn.response_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the answer" },
  "valet.failover.model": { type: "string", meaning: "the model of this prompt to the agent, as `provider/model`" },
  "valet.failover.attempt": { type: "int", meaning: "position of this model in the preference list, from 1" },
  "valet.opencode.session.id": { type: "string", meaning: "OpenCode's id of its session" },
  "valet.opencode.message.id": { type: "string", meaning: "OpenCode's id of its message" },
  "valet.opencode.version": { type: "string", meaning: "version of OpenCode" },
  "valet.opencode.restart": { type: "boolean", meaning: "whether OpenCode was restarted after it ended" },
  "valet.opencode.repository_config": {
    type: "string",
    values: REPOSITORY_CONFIGS,
    meaning: "how much of the repository's configuration OpenCode was started with",
  },
  "valet.warm_up.scope": {
    type: "string",
    values: WARM_UP_SCOPES,
    meaning:
      "what the warm-up prepares: only OpenCode's process, while the repository is set up, or the workspace as well",
  },
  "valet.mcp.server.name": {
    type: "string",
    meaning:
      "the MCP server, by its name in the configuration; of a wait those that did not answer in time, else all of them",
  },
  "valet.compaction.auto": { type: "boolean", meaning: "whether the agent started the compaction itself" },
  "gen_ai.operation.name": { type: "string", meaning: "what kind of GenAI span this is" },
  "gen_ai.agent.name": { type: "string", meaning: "the agent that works or calls" },
  "gen_ai.provider.name": {
    type: "string",
    meaning: "the convention's name of the provider, or OpenCode's id of it if there is none",
  },
  "gen_ai.system": { type: "string", meaning: "the provider under its former key, for older tools" },

  // Model calls
  "gen_ai.request.model": { type: "string", meaning: "the requested model" },
  "gen_ai.request.stream": { type: "boolean", meaning: "`true`: OpenCode streams every answer" },
  "gen_ai.request.temperature": { type: "double", unit: "1", meaning: "the request's temperature, if it is set" },
  "gen_ai.request.top_p": { type: "double", unit: "1", meaning: "the request's nucleus sampling, if it is set" },
  "gen_ai.request.top_k": { type: "int", meaning: "the request's limit on candidate tokens, if it is set" },
  "gen_ai.request.max_tokens": { type: "int", meaning: "the maximum number of tokens of the answer, if it is set" },
  "gen_ai.request.reasoning.level": {
    type: "string",
    meaning: "the reasoning effort that the request asks for, if it is set",
  },
  "gen_ai.response.finish_reasons": {
    type: "string[]",
    meaning:
      "why the model stopped: `stop`, `length`, `content_filter`, `tool_call`, or another reason of the provider; `error` if the call failed or was interrupted before the provider gave a reason",
  },
  "gen_ai.response.time_to_first_chunk": {
    type: "double",
    unit: "s",
    meaning: "time from the start of the call, or of the try, to the first chunk of the answer",
  },
  "gen_ai.usage.input_tokens": { type: "int", meaning: "input tokens, including cache reads and writes" },
  "gen_ai.usage.output_tokens": { type: "int", meaning: "output tokens, including reasoning" },
  "gen_ai.usage.cache_read.input_tokens": { type: "int", meaning: "input tokens read from the cache" },
  "gen_ai.usage.cache_write.input_tokens": { type: "int", meaning: "input tokens written to the cache" },
  "gen_ai.usage.cache_creation.input_tokens": {
    type: "int",
    meaning: "input tokens written to the cache, under the former key, for older tools",
  },
  "gen_ai.usage.reasoning.output_tokens": { type: "int", meaning: "output tokens used for reasoning" },
  "valet.llm.cost_usd": {
    type: "double",
    unit: "USD",
    meaning: "cost of the call, if prices are known; no convention has a key for it",
  },
  "valet.llm.cost_partial": {
    type: "boolean",
    meaning: "whether the cost lacks tokens of a kind that the model has no price for, such as cached ones",
  },
  "valet.llm.price.input": {
    type: "double",
    unit: "USD per million tokens",
    meaning:
      "the model's price of input that is not cached; absent if it is unknown, 0, or depends on the input's length",
  },
  "valet.llm.price.cache_read": {
    type: "double",
    unit: "USD per million tokens",
    meaning: "its price of input read from the cache; absent as the price of input is",
  },
  "valet.llm.price.cache_write": {
    type: "double",
    unit: "USD per million tokens",
    meaning: "its price of input written to the cache; absent as the price of input is",
  },
  "valet.llm.usage_inconsistent": {
    type: "boolean",
    meaning:
      "whether the provider's token counts are impossible: a part larger than its whole is reduced to the whole; a count that is not an integer from 0 to 100 million is omitted; in both cases, so is the cost",
  },
  "valet.llm.attempt": { type: "int", meaning: "number of the try of this call, or of the try waited for, from 1" },
  "valet.llm.last_request_ms": {
    type: "int",
    unit: "ms since 1970",
    meaning:
      "when the call's last request to the provider was permitted, shortly before it is sent; only while the span is open, or if nothing ended it; absent if the runner does not observe the provider's answers",
  },
  "valet.llm.last_byte_ms": {
    type: "int",
    unit: "ms since 1970",
    meaning:
      "when the provider last sent anything of its answer, text or not, to within a second; only while the span is open, or if nothing ended it",
  },
  "valet.llm.first_content_ms": {
    type: "int",
    unit: "ms since 1970",
    meaning:
      "when the first piece of the answer to the call's last request came; only while the span is open, or if nothing ended it: `gen_ai.response.time_to_first_chunk` says it then",
  },
  "valet.llm.start_source": {
    type: "string",
    values: START_SOURCES,
    meaning: "where the start time was read",
  },
  "valet.retry.delay_ms": { type: "int", meaning: "the wait that OpenCode announced" },
  "valet.retry.after": {
    type: "string",
    values: marked("failsOver"),
    meaning: "the error of the try before the wait",
  },
  "gen_ai.conversation.compacted": {
    type: "boolean",
    meaning: "`true` if the agent has compacted earlier parts of the conversation; absent if that is unknown",
  },
  "gen_ai.input.messages": {
    type: "string",
    content: true,
    meaning:
      "JSON: the conversation that was sent, `[{role, parts}]`; parts are `text`, `reasoning`, `tool_call`, `tool_call_response` {id, response}, and `blob` or `uri` for attachments, without their bytes",
  },
  "gen_ai.system_instructions": {
    type: "string",
    content: true,
    meaning: "JSON: the system prompt, `[{type, content}]`",
  },
  "gen_ai.output.messages": {
    type: "string",
    content: true,
    meaning:
      "JSON: one message, `[{role, parts}]`; parts are `text`, `reasoning` and `tool_call` {id, name, arguments}",
  },
  "error.message": {
    type: "string",
    content: true,
    meaning: "what the provider said of the failure, as OpenCode reports it; at most 1,000 characters",
  },

  // Tools and waits for a person
  "gen_ai.tool.name": { type: "string", meaning: "the tool" },
  "gen_ai.tool.type": { type: "string", values: ["function"], meaning: "type of the tool" },
  "gen_ai.tool.call.id": { type: "string", meaning: "the model's id of the call" },
  "gen_ai.tool.call.arguments": { type: "string", content: true, meaning: "JSON" },
  "gen_ai.tool.call.result": {
    type: "string",
    content: true,
    meaning: "JSON: `{output}`; only if the tool succeeded",
  },
  "valet.tool.input_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the arguments as JSON" },
  "valet.tool.timeout_ms": {
    type: "int",
    meaning: "the tool's own limit, within which it may be silent; absent if it has none",
  },
  "valet.tool.output_length": { type: "int", unit: "UTF-16 code units", meaning: "length of the result" },
  "process.exit.code": {
    type: "int",
    meaning:
      "exit code of a command. If a signal killed it: 128 + the signal's number for the agent's shell tool, as shells report it; otherwise absent",
  },
  "valet.process.signal": {
    type: "string",
    meaning: "the signal that killed a command, such as `SIGKILL`; no convention has a key for it",
  },
  "valet.permission.id": { type: "string", meaning: "the agent's id of the permission request" },
  "valet.permission.type": { type: "string", meaning: "the requested permission: `bash`, `edit`, …" },
  "valet.permission.reply": { type: "string", values: PERMISSION_REPLIES, meaning: "what the person answered" },
  "valet.question.id": { type: "string", meaning: "the agent's id of the request" },
  "valet.question.count": { type: "int", meaning: "number of questions in the request" },

  // Sandboxes
  "valet.sandbox.id": { type: "string", meaning: "the broker's id of the sandbox" },
  "valet.sandbox.driver": {
    type: "string",
    values: SANDBOX_DRIVERS,
    meaning: "the broker's driver that runs the sandbox",
  },
  "valet.sandbox.isolation": {
    type: "string",
    meaning:
      "what the runner puts between the agent and the rest of the sandbox's machine: `bwrap`, a wall of bubblewrap; `user`, another user in the same container; `none`, nothing, so that the sandbox itself is the wall, if there is one",
  },
  "valet.sandbox.stage": { type: "string", values: SANDBOX_STAGES, meaning: "the last stage that the start reached" },
  "valet.snapshot.id": { type: "string", meaning: "the snapshot taken or restored" },
  "valet.snapshot.size_bytes": { type: "int", unit: "bytes", meaning: "size of the snapshot" },
  "valet.snapshot.left_out_count": {
    type: "int",
    meaning:
      "number of files left out of the snapshot: sockets, devices, other users' files; the broker's snapshot.json lists the first",
  },
  "valet.spawn.reason": { type: "string", values: SPAWN_REASONS, meaning: "why the session started a sandbox" },
  "valet.restore.reason": { type: "string", values: RESTORE_REASONS, meaning: "why the session was restored" },
  "valet.hibernate.reason": { type: "string", values: HIBERNATE_REASONS, meaning: "why the session was hibernated" },
  "valet.terminate.reason": { type: "string", values: TERMINATE_REASONS, meaning: "why the session was terminated" },
  "valet.delete.reason": { type: "string", values: DELETE_REASONS, meaning: "why the session was deleted" },
  "valet.delete.unfinished_calls": {
    type: "int",
    meaning:
      "number of calls to the broker, other sessions and the capacity object that the deletion stopped waiting for after a day",
  },
  "valet.recovery.attempt": {
    type: "int",
    meaning: "number of the recovery attempt, from 1; absent on a first start",
  },
  "valet.broker.call": { type: "string", values: BROKER_CALLS, meaning: "the operation of the broker's API" },

  // The runner's start
  "valet.runner.restart_count": { type: "int", meaning: "number of restarts of the runner in this generation" },
  "valet.connect.attempt_count": { type: "int", meaning: "number of tries until the link was up" },
  "valet.clock.offset_ms": {
    type: "double",
    meaning: "the runner's clock minus the SessionAgent's, when the runner first connected",
  },
  "vcs.ref.head.revision": {
    type: "string",
    meaning: "the commit that was checked out; on `valet.turn.changes` the commit after the turn",
  },

  // What a turn changed
  "valet.changes.commit_count": { type: "int", meaning: "commits that HEAD reaches after the turn and did not before" },
  "valet.changes.file_count": { type: "int", meaning: "files that the turn added, modified, deleted or renamed" },
  "valet.changes.line_added_count": { type: "int", meaning: "lines added, in text files of at most 1 MiB" },
  "valet.changes.line_removed_count": { type: "int", meaning: "lines removed, in text files of at most 1 MiB" },
  "valet.changes.branch": { type: "string", meaning: "the branch after the turn; absent if HEAD is detached" },
  "valet.changes.shared_count": {
    type: "int",
    meaning:
      "other turns whose work may be in the same changes, since they ran at the same time, or since the last known state; absent if there are none",
  },
  "valet.changes.unknown": { type: "string", values: CHANGES_UNKNOWN, meaning: "why the changes are unknown" },

  // Workflows and child sessions
  "valet.workflow.name": { type: "string", meaning: "the workflow" },
  "gen_ai.workflow.name": { type: "string", meaning: "the workflow, under the convention's key" },
  "valet.workflow.execution.id": { type: "string", meaning: "the execution of the workflow" },
  "valet.workflow.step_count": { type: "int", meaning: "number of steps" },
  "valet.workflow.failed_step_count": { type: "int", meaning: "number of failed steps" },
  "valet.workflow.on_failure": {
    type: "string",
    values: FAILURE_POLICIES,
    meaning: "what the workflow does after a failed step",
  },
  "valet.workflow.step.name": { type: "string", meaning: "the step" },
  "valet.workflow.step.index": { type: "int", meaning: "index of the step, from 0" },
  "valet.workflow.step.type": { type: "string", values: STEP_TYPES, meaning: "what it runs" },
  "valet.child_session.id": { type: "string", meaning: "the child session" },
  "valet.child_session.event": {
    type: "string",
    values: CHILD_SESSION_EVENTS,
    meaning: "what the child session reports to its parent",
  },

  // HTTP
  "http.request.method": { type: "string", values: HTTP_METHODS, meaning: "the method" },
  "http.route": { type: "string", meaning: "the route's template, `/api/sessions/:id`" },
  "http.response.status_code": { type: "int", meaning: "the status code of the response" },
  "url.path": { type: "string", meaning: "the path, without the query" },
  "url.scheme": { type: "string", meaning: "`http` or `https`" },
  "server.address": { type: "string", meaning: "host of the called server" },
  "server.port": { type: "int", meaning: "port of the called server" },

  // Spans that the trace plane lost
  "valet.dropped_spans.queue_full": { type: "int", meaning: "the queue, or the session's trace store, was full" },
  "valet.dropped_spans.rejected": { type: "int", meaning: "the backend accepted the batch but rejected these spans" },
  "valet.dropped_spans.invalid": {
    type: "int",
    meaning:
      "the session's trace store refused these: they were malformed, or not of this session and its traces; an unreadable text counts as one",
  },
  "valet.dropped_spans.late": {
    type: "int",
    meaning: "these ended after they had been sealed: the backend has each once, with the outcome `lost`",
  },
  "valet.dropped_spans.retries_exhausted": { type: "int", meaning: "every retry failed" },
  "valet.dropped_spans.not_retryable": { type: "int", meaning: "the backend's response forbids a retry" },
  "valet.dropped_spans.too_large": {
    type: "int",
    meaning: "too large for a request, for a frame of the link, or for a row of the session's trace store",
  },
  "valet.dropped_spans.shutdown": { type: "int", meaning: "the process ended before the export" },
  "valet.refused.spans": {
    type: "int",
    meaning: "spans of commands that were refused, in requests of which others were taken",
  },
  "valet.refused.trace_requests": { type: "int", meaning: "requests with traces that were refused as a whole" },
  "valet.refused.log_requests": { type: "int", meaning: "requests with logs, which the receiver does not take" },
  "valet.refused.metric_requests": { type: "int", meaning: "requests with metrics, which the receiver does not take" },
  "valet.adopted": {
    type: "boolean",
    meaning:
      "`true` on spans, and on their resource, that are not Valet's own but of a program that a command of the agent ran",
  },
  "valet.adopted.trace_id": {
    type: "string",
    meaning:
      "the trace id that a program of the agent's commands had chosen: on roots, on spans whose parent is in another process, and on links to other traces than the span's",
  },

  // Exceptions
  "exception.type": { type: "string", meaning: "its class or code" },
  "exception.message": { type: "string", content: true, meaning: "its text" },
  "exception.stacktrace": { type: "string", meaning: "its frames; with its text only where content is captured" },
} as const satisfies Record<string, AttributeDefinition>;

export type AttributeKey = keyof typeof ATTRIBUTES;

/** The attributes of a resource, which describes the emitting service. */
export const RESOURCE_ATTRIBUTES = {
  "service.name": {
    type: "string",
    meaning: "`valet-worker`, `valet-runner` or `valet-broker`; of an adopted span its program's own",
  },
  "service.version": { type: "string", meaning: "version of the emitting package" },
  "service.instance.id": { type: "string", meaning: "a random UUID for each process, isolate or object in memory" },
  "valet.session.id": { type: "string", meaning: "the session, if the process serves only one" },
  "valet.generation": { type: "int", meaning: "the sandbox's generation; only the runner has it" },
  "valet.adopted": {
    type: "boolean",
    meaning: "`true`: the spans are not Valet's own, but of a program that a command of the agent ran",
  },
} as const satisfies Record<string, AttributeDefinition>;
