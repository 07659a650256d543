/**
 * The HTTP API: what each request takes and what it is answered with. Requests are strict, so that a field that was misspelt
 * is refused and not forgotten; whoever reads an answer skips the fields that it does not know. Every error is a
 * {@link Problem}.
 */
import { z } from "zod";
import { FAILURE_POLICIES, QUEUE_MODES } from "../spans.ts";
import { isGitRef } from "./git-ref.ts";
import { repoUrlProblem } from "./repo-url.ts";
import { Attachment, QuestionAnswers } from "./runner-link.ts";
import { MessageView, PermissionReply, SessionView, TurnRecord, WorkflowView } from "./session-view.ts";
import { CommandStep, MAX_WORKFLOW_STEPS, PromptStep } from "./workflow.ts";

/** The most that a request's body may have, in bytes. */
export const MAX_REQUEST_BYTES = 1024 * 1024;
/** The most items that one page of a list has. */
export const MAX_PAGE = 100;

const MAX_CONTENT_LENGTH = 200_000;
const DAY_MS = 24 * 60 * 60_000;

export const SessionId = z
  .string()
  .regex(/^ses_[0-9a-z]{26}$/, "no id of a session")
  .describe("The session");
export const MessageId = z
  .string()
  .regex(/^[\w.:-]{1,128}$/, "1 to 128 letters, digits, `_`, `.`, `:` or `-`")
  .describe("The message; given by the sender, the same id twice is one message");
export const ExecutionId = z
  .string()
  .regex(/^[\w.:-]{1,128}$/, "1 to 128 letters, digits, `_`, `.`, `:` or `-`")
  .describe("The execution of a workflow; given by the sender, the same id twice is one execution");
/** What the agent asks: leave, or an answer. */
export const AgentRequestId = z.string().regex(/^[\w.:-]{1,128}$/, "no id of a request of the agent");
export const TraceId = z.string().regex(/^[0-9a-f]{32}$/, "32 lower-case hex digits");
const Cursor = z.string().min(1).max(200).describe("`nextCursor` of the page before; its content is nobody's business");

const Model = z
  .string()
  .max(200)
  .regex(/^[\w.-]+\/[\w./:@+-]+$/, "must be `provider/model`")
  .describe("A model as `provider/model`");
const Models = z.array(Model).max(10).describe("Models in order of preference: the next is tried where one fails");
const QueueMode = z
  .enum(QUEUE_MODES)
  .describe("What a message does while another is being worked on: wait, take its place, or be merged with others");
const label = z.string().min(1).max(128);

const GitRef = z.string().min(1).max(255).refine(isGitRef, "no name that git takes");

/**
 * Where a repository is: https, ssh (as URL or as `user@host:path`), or, where the sandboxes run on this machine, `file:`.
 * Whether that is so, the server knows: {@link isFileUrl}.
 */
export const RepoUrl = z
  .string()
  .max(2000)
  .superRefine((text, ctx) => {
    const message = repoUrlProblem(text);
    if (message !== undefined) ctx.addIssue({ code: "custom", message });
  })
  .describe(
    "https or ssh URL of a git repository. User and password of an https URL, and what in a path looks like a token, are " +
      "kept apart and shown nowhere; an ssh URL takes no password",
  );

export const CreateSession = z.strictObject({
  repoUrl: RepoUrl.optional(),
  branch: GitRef.optional(),
  ref: GitRef.optional(),
  trustRepositoryConfig: z
    .boolean()
    .describe(
      "Whether all of the configuration of OpenCode that the repository holds counts: its plugins, tools, MCP servers and " +
        "providers run beside the keys of models. Otherwise only its text does: instructions, commands, agents, skills",
    )
    .optional(),
  title: z.string().min(1).max(200).optional(),
  prompt: z.string().min(1).max(MAX_CONTENT_LENGTH).describe("The first message").optional(),
  model: Model.optional(),
  models: Models.optional(),
  queueMode: QueueMode.optional(),
  idleTimeoutMs: z
    .int()
    .positive()
    .max(7 * DAY_MS)
    .describe("Without work for this long, the session hibernates")
    .optional(),
  parentSessionId: SessionId.optional(),
});
export type CreateSession = z.infer<typeof CreateSession>;

export const SendMessage = z.strictObject({
  content: z.string().min(1).max(MAX_CONTENT_LENGTH),
  id: MessageId.optional(),
  model: Model.optional(),
  models: Models.optional(),
  channel: label.describe("One turn at a time in each channel; channels work side by side").optional(),
  threadId: label.optional(),
  replyChannel: label.optional(),
  attachments: z.array(z.strictObject(Attachment.shape)).max(20).optional(),
  queueMode: QueueMode.optional(),
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
    .describe("Done in order: `prompt` is said to the agent, `run` is a command for the shell in the workspace"),
  onFailure: z
    .enum(FAILURE_POLICIES)
    .describe("What happens after a step that failed: `stop`, unless given, skips the others")
    .optional(),
  channel: label.describe("As of a message: one thing at a time in each channel").optional(),
  id: ExecutionId.optional(),
});
export type StartWorkflow = z.infer<typeof StartWorkflow>;

export const ReplyPermission = z.strictObject({ reply: PermissionReply });
export const ReplyQuestion = z.strictObject({
  answers: QuestionAnswers.nullable().describe("To each question its answers, in order; `null` declines to answer"),
});
export const CreateTicket = z.strictObject({ sessionId: SessionId });

export const PageQuery = z.strictObject({
  cursor: Cursor.optional(),
  limit: z.coerce.number().int().min(1).max(MAX_PAGE).optional(),
});
export const SessionsQuery = PageQuery.extend({
  parentSessionId: SessionId.describe("Only the children of this session").optional(),
  exportProblem: z.literal("true").describe("Only those whose spans do not reach the backend").optional(),
});
/** For lists whose pages are as long as the server says. */
export const CursorQuery = PageQuery.pick({ cursor: true });
export const MessagesQuery = CursorQuery.extend({
  order: z
    .enum(["asc", "desc"])
    .describe("Where the first page begins: `asc`, unless given, with the oldest message, `desc` with the newest")
    .optional(),
});
export const SocketQuery = z.strictObject({ ticket: z.string().max(200).optional() });

export const AcceptedMessage = z.object({
  messageId: z.string(),
  status: MessageView.shape.status,
  traceId: z.string().optional().describe("The message's own trace; absent where nothing is traced"),
});
export type AcceptedMessage = z.infer<typeof AcceptedMessage>;

export const AcceptedWorkflow = z.object({
  executionId: z.string(),
  status: WorkflowView.shape.status,
  traceId: z.string().optional().describe("The execution's own trace; absent where nothing is traced"),
});
export type AcceptedWorkflow = z.infer<typeof AcceptedWorkflow>;

export const ClearedQueue = z.object({
  withdrawn: z.int().nonnegative().describe("Messages and workflows that were queued"),
});
export type ClearedQueue = z.infer<typeof ClearedQueue>;
export const Ticket = z.object({
  ticket: z.string().describe("Opens the session's WebSocket once: `…/ws?ticket=`"),
  expiresAt: z.iso.datetime(),
});
export type Ticket = z.infer<typeof Ticket>;
export const Health = z.object({
  status: z.literal("ok"),
  export: z
    .object({
      sessions: z.int().nonnegative().describe("Sessions whose spans have not reached the backend for over a minute"),
      waitingSpans: z.int().nonnegative(),
      since: z.iso.datetime().optional().describe("Of the oldest of these problems"),
      reason: z.string().optional().describe("Its reason: `HTTP` and a status, `web page`, `timeout`, another code"),
    })
    .optional()
    .describe(
      "Spans on their way to the backend, as the sessions last said; absent where the database does not answer",
    ),
});
export type Health = z.infer<typeof Health>;

/** How long a session that is asked to send what waits lets the asker wait for that, in milliseconds; it goes on afterwards. */
export const RESEND_WAIT_MS = 4000;

/** What came of asking a session to send what waits. */
export const ResentSpans = z.object({
  exported: z.boolean().describe("Whether there is a backend at all"),
  waitingSpans: z.int().nonnegative().describe("What has not been sent, or not yet"),
  reason: z
    .string()
    .optional()
    .describe("Why the last attempt failed, or `waiting`; absent where nothing failed or waits"),
  hint: z.string().optional().describe("What most likely is to be done about it"),
});
export type ResentSpans = z.infer<typeof ResentSpans>;

const nextCursor = Cursor.optional().describe("Absent on the last page");
export const SessionList = z.object({ sessions: z.array(SessionView), nextCursor });
export type SessionList = z.infer<typeof SessionList>;

/** What turns have cost together. Names are those of {@link TurnRecord}. */
const Spent = z.object({
  turns: z.int().nonnegative(),
  cost_usd: z
    .number()
    .nonnegative()
    .nullable()
    .describe("As far as it is known; null where that comes to 0 and some is not known"),
  tokens_input: z.number().nonnegative().nullable().describe("Likewise"),
  tokens_output: z.number().nonnegative().nullable().describe("Likewise"),
  turns_without_cost: z
    .int()
    .positive()
    .optional()
    .describe("Turns whose cost is not, or not all, in the sum; absent where all is"),
  turns_without_usage: z.int().positive().optional().describe("The same of their tokens"),
});

export const FamilyMember = Spent.extend({
  ...SessionView.pick({ id: true, parentSessionId: true, title: true, status: true, agent: true }).shape,
  ...SessionView.pick({ queueLength: true, capacityPlace: true, createdAt: true, failure: true, warnings: true }).shape,
  depth: z.int().nonnegative().describe("Below the session that was asked about, which has 0"),
});
export type FamilyMember = z.infer<typeof FamilyMember>;

/** A session and all that descend from it. */
export const FamilyView = z.object({
  sessions: z.array(FamilyMember).describe("Parents before their children, at most 1000"),
  total: Spent.describe("Of the whole family"),
});
export type FamilyView = z.infer<typeof FamilyView>;

export const MessageList = z.object({ messages: z.array(MessageView), nextCursor });
export type MessageList = z.infer<typeof MessageList>;
export const WorkflowList = z.object({ workflows: z.array(WorkflowView), nextCursor });
export type WorkflowList = z.infer<typeof WorkflowList>;
export const TurnList = z.object({ turns: z.array(TurnRecord), nextCursor });
export type TurnList = z.infer<typeof TurnList>;

export const TraceSummaryView = z.object({
  traceId: TraceId,
  name: z.string().optional().describe("Of its root, or else of the topmost span that is known, open or ended"),
  startedAt: z.iso.datetime(),
  /** From the first start to the last end that is known. */
  duration_ms: z.number().nonnegative(),
  spans: z.int().nonnegative(),
  openSpans: z.int().nonnegative(),
  errors: z.int().nonnegative(),
});
export type TraceSummaryView = z.infer<typeof TraceSummaryView>;
export const TraceList = z.object({ traces: z.array(TraceSummaryView), nextCursor });
export type TraceList = z.infer<typeof TraceList>;

/** OTLP/JSON, as `ExportTraceServiceRequest` has it; a span that has not ended has no `endTimeUnixNano`. */
export const TraceView = z.object({ resourceSpans: z.array(z.looseObject({})), nextCursor });
export type TraceView = z.infer<typeof TraceView>;

/** Whether a repository is on the machine of whoever opens the URL. */
export function isFileUrl(url: string): boolean {
  return URL.parse(url)?.protocol === "file:";
}
