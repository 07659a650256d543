/**
 * The HTTP API: the schemas of requests and answers. Requests are strict, so that a misspelt field is refused instead
 * of ignored; clients ignore unknown fields of an answer. Every error is a {@link Problem}.
 */
import { z } from "zod";
import { FAILURE_POLICIES, QUEUE_MODES } from "../spans.ts";
import { QuestionAnswers } from "./agent-question.ts";
import { AskBefore } from "./ask-before.ts";
import { CertificateState } from "./certificate.ts";
import { Attachment } from "./dispatch.ts";
import { isGitRef } from "./git-ref.ts";
import { ATTACHMENT_LIMITS, MAX_CONTENT_LENGTH, MAX_LABEL_LENGTH } from "./message-limits.ts";
import { repoUrlProblem } from "./repo-url.ts";
import { MessageView, PermissionReply, SessionView, TurnRecord, WorkflowView } from "./session-view.ts";
import { CommandStep, MAX_WORKFLOW_STEPS, PromptStep } from "./workflow.ts";

/** The maximum size of a request's body, in bytes. */
export const MAX_REQUEST_BYTES = 1024 * 1024;
/** The maximum number of items on a page of a list. */
export const MAX_PAGE = 100;

const DAY_MS = 24 * 60 * 60_000;

export const SessionId = z
  .string()
  .regex(/^ses_[0-9a-z]{26}$/, "not a session id")
  .describe("The session's id");
export const MessageId = z
  .string()
  .regex(/^[\w.:-]{1,128}$/, "1 to 128 letters, digits, `_`, `.`, `:` or `-`")
  .describe(
    "The message's id, chosen by the sender. Sending the same message again returns the existing one; the same id with other content is refused (409)",
  );
export const ExecutionId = z
  .string()
  .regex(/^[\w.:-]{1,128}$/, "1 to 128 letters, digits, `_`, `.`, `:` or `-`")
  .describe(
    "The id of the workflow's execution, chosen by the sender. Sending the same workflow again returns the existing one; the same id with other content is refused (409)",
  );
/** The id of a permission request or of a question. */
export const AgentRequestId = z.string().regex(/^[\w.:-]{1,128}$/, "not the id of an agent's request");
export const TraceId = z.string().regex(/^[0-9a-f]{32}$/, "32 lower-case hex digits");
export const SpanId = z.string().regex(/^[0-9a-f]{16}$/, "16 lower-case hex digits");
const Cursor = z.string().min(1).max(200).describe("`nextCursor` of the previous page. Opaque");

const Model = z
  .string()
  .max(200)
  .regex(/^[\w.-]+\/[\w./:@+-]+$/, "must be `provider/model`")
  .describe("A model as `provider/model`");
const Models = z.array(Model).max(10).describe("Models in order of preference: when one fails, the next is tried");
const QueueMode = z
  .enum(QUEUE_MODES)
  .describe(
    "What happens to a message while a turn is running in its channel: it waits (`followup`), takes the turn's place (`steer`), or is " +
      "merged with others (`collect`). By default the session's mode, which is `followup` unless the session is created with another",
  );
const label = z.string().min(1).max(MAX_LABEL_LENGTH);

/** A user, as the caller names it. */
export const UserId = z
  .string()
  .regex(/^[^\p{Cc}]{1,128}$/u, "1 to 128 characters, none of them a control character")
  .describe(
    "For whom the request is made. Only tokens that speak for others may name a user (403); by default it is the owner of the token",
  );
const user = UserId.optional();

const GitRef = z.string().min(1).max(255).refine(isGitRef, "not a valid git ref");

/**
 * The URL of a repository: https, ssh (as a URL or as `user@host:path`), or `file:` where the sandboxes run on this
 * machine. The server decides whether `file:` is allowed: {@link isFileUrl}.
 */
export const RepoUrl = z
  .string()
  .max(2000)
  .superRefine((text, ctx) => {
    const message = repoUrlProblem(text);
    if (message !== undefined) ctx.addIssue({ code: "custom", message });
  })
  .describe(
    "https or ssh URL of a git repository, or `file:` where the deployment allows it. The user and password of an https URL, and parts of a path that look like a token, are " +
      "stored separately and never shown; an ssh URL must not have a password",
  );

export const CreateSession = z.strictObject({
  id: SessionId.describe(
    "The session's id, chosen by the sender: `ses_` and 26 random lower-case letters and digits. Creating the same session again returns " +
      "the existing one; the same id with other content is refused (409)",
  ).optional(),
  repoUrl: RepoUrl.optional(),
  branch: GitRef.optional(),
  ref: GitRef.optional(),
  trustRepositoryConfig: z
    .boolean()
    .describe(
      "Whether the repository's complete OpenCode configuration is used: its plugins, tools, MCP servers and " +
        "providers then run with access to the model keys. By default only its text is used: instructions, commands, agents, skills",
    )
    .optional(),
  agentOtlp: z
    .boolean()
    .describe(
      "Whether programs that commands of the agent and of workflows run send their traces to the session, in place of the " +
        "deployment's `VALET_AGENT_OTLP`. Such a command gets `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL` and `_HEADERS`",
    )
    .optional(),
  askBefore: AskBefore.describe(
    "What the agent asks a person for before it does it: to run a command (`commands`), to change a file with its tools (`edits`), to " +
      "read a web page (`web`). By default it asks for none of them. A command can change files, too. Child sessions ask for the same. It does " +
      "not ask before calls of MCP servers' and plugins' tools, which only a trusted repository configures",
  ).optional(),
  title: z.string().min(1).max(200).optional(),
  prompt: z.string().min(1).max(MAX_CONTENT_LENGTH).describe("The first message").optional(),
  model: Model.optional(),
  models: Models.optional(),
  queueMode: QueueMode.optional(),
  idleTimeoutMs: z
    .int()
    .positive()
    .max(7 * DAY_MS)
    .describe(
      "The session hibernates after this long without work; by default the deployment's `VALET_IDLE_TIMEOUT_MS`",
    )
    .optional(),
  parentSessionId: SessionId.optional(),
  user,
});
export type CreateSession = z.infer<typeof CreateSession>;

export const SendMessage = z.strictObject({
  content: z.string().min(1).max(MAX_CONTENT_LENGTH),
  id: MessageId.optional(),
  model: Model.optional(),
  models: Models.optional(),
  channel: label.describe("A channel runs one job at a time; channels run in parallel").optional(),
  threadId: label.optional(),
  replyChannel: label.optional(),
  attachments: z
    .array(z.strictObject(Attachment.shape))
    .max(ATTACHMENT_LIMITS.files)
    .describe(
      "At most 20 files, each a `data:` URL of at most 400,000 characters; with the content at most 400 KiB in all. PNG, JPEG, GIF, WebP, PDF and text go " +
        "to the model. Valet stores any other file in the workspace and gives the agent its path. Some models, such as those of " +
        "`VALET_MODEL_BASE_URL`, take no images or PDFs. They get a note instead, which tells them to say that they cannot read the file",
    )
    .optional(),
  queueMode: QueueMode.optional(),
  user,
});
export type SendMessage = z.infer<typeof SendMessage>;

export const StartWorkflow = z.strictObject({
  name: z.string().min(1).max(128),
  steps: z
    .array(
      z.union([z.strictObject(PromptStep.shape), z.strictObject(CommandStep.shape)], {
        error: "a step has a name and either `prompt` or `run`",
      }),
    )
    .min(1)
    .max(MAX_WORKFLOW_STEPS)
    .describe("Run one after the other: `prompt` is sent to the agent, `run` is a shell command in the workspace"),
  onFailure: z
    .enum(FAILURE_POLICIES)
    .describe("What happens after a failed step: `stop`, the default, skips the remaining steps")
    .optional(),
  channel: label.describe("As for a message: a channel runs one job at a time").optional(),
  id: ExecutionId.optional(),
  user,
});
export type StartWorkflow = z.infer<typeof StartWorkflow>;

export const ReplyPermission = z.strictObject({ reply: PermissionReply, user });
export const ReplyQuestion = z.strictObject({
  answers: QuestionAnswers.nullable().describe(
    "The answers to each question, in order; `null` declines to answer, which ends the agent's turn",
  ),
  user,
});
export const CreateTicket = z.strictObject({ sessionId: SessionId });

/** The query of requests that change something and have no body. */
export const UserQuery = z.strictObject({ user });

export const PageQuery = z.strictObject({
  cursor: Cursor.optional(),
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).optional(),
});
export const SessionsQuery = PageQuery.extend({
  parentSessionId: SessionId.describe("Only the children of this session").optional(),
  exportProblem: z.literal("true").describe("Only sessions whose spans do not reach the backend").optional(),
  q: z
    .string()
    .min(1)
    .max(200)
    .describe(
      "Only sessions in whose title, repository, branch, user, model or id each of these words is found. Case does not count, and no character is a wildcard",
    )
    .optional(),
});
/** The query of lists whose page size the server chooses. */
export const CursorQuery = PageQuery.pick({ cursor: true });
export const WorkflowsQuery = CursorQuery.extend({
  order: z
    .enum(["asc", "desc"])
    .describe("The order: `asc`, the default, starts with the oldest, `desc` with the newest")
    .optional(),
});
export const MessagesQuery = WorkflowsQuery.extend({
  from: MessageId.describe(
    "The message that the list starts with, instead of the oldest or the newest. Not beside `cursor`",
  ).optional(),
});
export const SkeletonQuery = z.strictObject({
  after: z
    .string()
    .min(1)
    .max(200)
    .describe("`next` of an earlier answer: only what is new since then, and what may still change, is returned")
    .optional(),
});
export const TraceSearchQuery = CursorQuery.extend({
  q: z
    .string()
    .min(1)
    .max(200)
    .describe("A part of a span's name, or of one of its attributes written as `key=value`. Case does not count"),
});
export const SocketQuery = z.strictObject({ ticket: z.string().max(200).optional() });

export const AcceptedMessage = z.object({
  messageId: z.string(),
  status: MessageView.shape.status,
  traceId: z
    .string()
    .optional()
    .describe(
      "The message's trace: the caller's if the request had a `traceparent`; absent when there is none because tracing is off",
    ),
});
export type AcceptedMessage = z.infer<typeof AcceptedMessage>;

export const AcceptedWorkflow = z.object({
  executionId: z.string(),
  status: WorkflowView.shape.status,
  traceId: z
    .string()
    .optional()
    .describe(
      "The execution's trace: the caller's if the request had a `traceparent`; absent when there is none because tracing is off",
    ),
});
export type AcceptedWorkflow = z.infer<typeof AcceptedWorkflow>;

export const ClearedQueue = z.object({
  withdrawn: z.int().nonnegative().describe("How many queued messages and workflows were withdrawn"),
});
export type ClearedQueue = z.infer<typeof ClearedQueue>;
export const Ticket = z.object({
  ticket: z.string().describe("Opens the session's WebSocket once: `…/ws?ticket=`"),
  expiresAt: z.iso.datetime(),
});
export type Ticket = z.infer<typeof Ticket>;
export const Health = z.object({
  status: z.literal("ok"),
  database: z
    .enum(["full", "unavailable"])
    .optional()
    .describe("Why the database does not answer: its disk is full, or another reason; absent if it answers"),
  export: z
    .object({
      sessions: z
        .int()
        .nonnegative()
        .describe(
          "Number of sessions whose spans have not reached the backend for over a minute; 1000 stands for 1000 or more",
        ),
      waitingSpans: z
        .int()
        .nonnegative()
        .describe("Their waiting spans; of the 1000 oldest problems if there are more"),
      since: z.iso.datetime().optional().describe("Start of the oldest of these problems"),
      reason: z
        .string()
        .optional()
        .describe("Reason of the oldest problem: `HTTP` and a status, `web page`, `timeout`, another code"),
    })
    .optional()
    .describe(
      "Spans on their way to the backend, as the sessions last reported; absent when the database does not answer or has not been migrated",
    ),
});
export type Health = z.infer<typeof Health>;

/** How long a session lets the caller of `resend` wait, in milliseconds; the session continues to send afterwards. */
export const RESEND_WAIT_MS = 4000;

/** The result of a session's `resend`. */
export const ResentSpans = z.object({
  exported: z.boolean().describe("Whether a backend is configured"),
  waitingSpans: z.int().nonnegative().describe("Spans that are still waiting"),
  reason: z
    .string()
    .optional()
    .describe("Why the last attempt failed, or `waiting`; absent when nothing failed or waits"),
  hint: z.string().optional().describe("The most likely remedy"),
});
export type ResentSpans = z.infer<typeof ResentSpans>;

const nextCursor = Cursor.optional().describe("Absent on the last page");
export const SessionList = z.object({ sessions: z.array(SessionView), nextCursor });
export type SessionList = z.infer<typeof SessionList>;

/** The total cost of turns. Field names are those of {@link TurnRecord}. */
const Spent = z.object({
  turns: z.int().nonnegative(),
  cost_usd: z.number().nonnegative().nullable().describe("The known cost; null when it is 0 and some cost is unknown"),
  tokens_input: z.number().nonnegative().nullable().describe("Likewise"),
  tokens_output: z.number().nonnegative().nullable().describe("Likewise"),
  turns_without_cost: z
    .int()
    .positive()
    .optional()
    .describe("Turns whose cost is not, or not completely, included; absent when all are"),
  turns_without_usage: z
    .int()
    .positive()
    .optional()
    .describe("Turns whose tokens are not, or not completely, included; absent when all are"),
});

export const FamilyMember = Spent.extend({
  ...SessionView.pick({ id: true, parentSessionId: true, title: true, status: true, agent: true }).shape,
  ...SessionView.pick({ queueLength: true, capacityPlace: true, createdAt: true, failure: true, warnings: true }).shape,
  depth: z.int().nonnegative().describe("Distance from the requested session, which has 0"),
});
export type FamilyMember = z.infer<typeof FamilyMember>;

/** A session and its descendants. */
export const FamilyView = z.object({
  sessions: z
    .array(FamilyMember)
    .describe(
      "Parents before their children, at most 1000: of a larger family level by level, and of the last level the newest",
    ),
  total: Spent.describe("The total of the whole family, whatever is listed"),
  sessions_left_out: z
    .int()
    .positive()
    .optional()
    .describe("How many sessions of the family are not listed; absent when all are. With `partial` there are more"),
  partial: z
    .literal(true)
    .optional()
    .describe("The family has more than 10,000 sessions, and the total lacks those that are oldest or deepest"),
});
export type FamilyView = z.infer<typeof FamilyView>;

export const MessageList = z.object({ messages: z.array(MessageView), nextCursor });
export type MessageList = z.infer<typeof MessageList>;
export const WorkflowList = z.object({ workflows: z.array(WorkflowView), nextCursor });
export type WorkflowList = z.infer<typeof WorkflowList>;
/** A turn as its session lists it. Lists across sessions have no certificate, since it changes after the turn has ended. */
export const SessionTurn = TurnRecord.extend({
  certificate: CertificateState.nullable()
    .default(null)
    .describe(
      "The state of the certificate of its traces, as it is now; `null` without traces, or from an older Valet",
    ),
});
export type SessionTurn = z.infer<typeof SessionTurn>;
export const TurnList = z.object({ turns: z.array(SessionTurn), nextCursor });
export type TurnList = z.infer<typeof TurnList>;

export const TraceSummaryView = z.object({
  traceId: TraceId,
  name: z.string().optional().describe("Name of the root span, or else of the topmost known span, open or ended"),
  startedAt: z.iso
    .datetime()
    .describe(
      "When the trace's first Worker span began. A trace without a Worker span has the start of its first span, corrected by the clock offset that the runner reported",
    ),
  duration_ms: z.number().nonnegative().describe("From then to the last known end by the same clock"),
  spans: z.int().nonnegative().describe("How many spans have ended"),
  openSpans: z.int().nonnegative().describe("How many spans have begun and not ended; `spans` does not count them"),
  errors: z.int().nonnegative(),
});
export type TraceSummaryView = z.infer<typeof TraceSummaryView>;
export const TraceList = z.object({
  traces: z.array(TraceSummaryView),
  nextCursor,
  urlTemplate: z
    .string()
    .optional()
    .describe("Where the backend shows a trace, with `{traceId}` in its place; absent if none is configured"),
});
export type TraceList = z.infer<typeof TraceList>;

/** The ids of the spans that a search has found. */
export const FoundSpans = z.object({ spanIds: z.array(SpanId), nextCursor });
export type FoundSpans = z.infer<typeof FoundSpans>;

/** A link of a span to a span of the trace that was asked for. */
export const Backlink = z.object({
  traceId: TraceId.describe("The trace of the span that has the link"),
  spanId: SpanId.describe("The span that has the link"),
  name: z.string().describe("Its name, at most 200 characters"),
  startedAt: z.iso.datetime().describe("When it started"),
  targetSpanId: SpanId.describe("The span that it links to, which may be unknown"),
  type: z.string().optional().describe("The link's `valet.link.type`; absent if it has none"),
});
export type Backlink = z.infer<typeof Backlink>;
export const BacklinkList = z.object({ backlinks: z.array(Backlink), nextCursor });
export type BacklinkList = z.infer<typeof BacklinkList>;

/** OTLP/JSON as in `ExportTraceServiceRequest`; an open span has no `endTimeUnixNano`. */
export const TraceView = z.object({ resourceSpans: z.array(z.looseObject({})), nextCursor });
export type TraceView = z.infer<typeof TraceView>;

/** Returns whether a URL names a repository on the machine that clones it. */
export function isFileUrl(url: string): boolean {
  return URL.parse(url)?.protocol === "file:";
}
