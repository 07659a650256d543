/** What other sessions of the family did for a job, and what that cost. Pure. */
import { costText, knownSum } from "../../protocol/cost.ts";
import type { OtherSession, OtherWork, SessionMoney, SessionReading } from "../../protocol/why.ts";
import { isJobSpan, jobSpans, ownSpans, type SpanIndex } from "./span-index.ts";
import type { WhyInput, WhyJob, WhyOther, WhySpan } from "./spans.ts";

/** What is worked out of another session's job as of the job itself. */
export type Answered = Omit<OtherWork, "role">;

/**
 * Returns the other sessions, each with its work that belongs to the answer.
 * @param answer works out the answer about another session's job
 */
export function otherSessions(
  { job, others = [] }: WhyInput,
  index: SpanIndex,
  answer: (input: WhyOther["jobs"][number]) => Answered,
): OtherSession[] {
  const roles = rolesOf(index, job);
  return others
    .map(({ sessionId, reading, jobs }): OtherSession => {
      const work = jobs.flatMap((each): OtherWork[] => {
        const role = jobSpans(index, each.job).map((span) => roles.get(span));
        const known = role.find((one) => one !== undefined);
        return known === undefined ? [] : [{ ...answer(each), role: known }];
      });
      return { sessionId, reading, work, sentence: sentenceOf(sessionId, reading, work) };
    })
    .filter(({ reading, work }) => reading !== "read" || work.length > 0);
}

/** Returns the jobs of other sessions that a job, or one of those, gave its work, and those about which it reports. */
function rolesOf(index: SpanIndex, job: WhyJob): ReadonlyMap<WhySpan, OtherWork["role"]> {
  const roles = new Map<WhySpan, OtherWork["role"]>();
  const own = jobSpans(index, job);
  for (const span of own.flatMap((each) => causesOf(index, each))) roles.set(span, "cause");
  const mine = new Set<WhySpan>([...ownSpans(index, job), ...strays(index, job, own)]);
  const others = index.spans.filter((span) => isJobSpan(span) && span.sessionId !== job.sessionId);
  for (let isNew = true; isNew; ) {
    isNew = false;
    for (const span of others) {
      if (roles.has(span) || !isCausedBy(index, span, mine)) continue;
      roles.set(span, "work");
      for (const each of index.below([span], (child) => !isJobSpan(child))) mine.add(each);
      isNew = true;
    }
  }
  return roles;
}

/** Returns the runner's spans in the job's trace whose turn is not known, or not yet, with what is below them. */
function strays(index: SpanIndex, job: WhyJob, own: readonly WhySpan[]): readonly WhySpan[] {
  const traces = new Set(own.map(({ traceId }) => traceId));
  const tops = index.spans.filter(
    (span) =>
      span.parentId !== null &&
      span.service === "valet-runner" &&
      span.sessionId === job.sessionId &&
      traces.has(span.traceId) &&
      index.parent(span) === undefined,
  );
  return index.below(tops, (child) => !isJobSpan(child));
}

/** Returns whether a job was sent by a command or a tool call among these spans. */
function isCausedBy(index: SpanIndex, span: WhySpan, spans: ReadonlySet<WhySpan>): boolean {
  const asking = span.links
    .filter(({ type }) => type === "spawned_by" || type === "caused_by")
    .flatMap((link) => index.find(link) ?? []);
  return [...asking, ...index.ancestors(span)].some((each) => spans.has(each));
}

/**
 * Returns the jobs that a message reports about. The message links to the report, and that to what it reports: the job, or the start
 * without which the job could not go on.
 */
function causesOf(index: SpanIndex, span: WhySpan): readonly WhySpan[] {
  const caused = (from: WhySpan) =>
    from.links.flatMap((link) => (link.type === "caused_by" ? (index.find(link) ?? []) : []));
  return caused(span)
    .filter(({ name }) => name === "valet.child_session.report")
    .flatMap(caused)
    .flatMap((reported) => (isJobSpan(reported) ? [reported] : waitingFor(index, reported)));
}

/** Returns the jobs that waited for an operation. */
function waitingFor(index: SpanIndex, operation: WhySpan): readonly WhySpan[] {
  return index
    .linking(operation, "waited_on")
    .flatMap((wait) => index.parent(wait) ?? [])
    .filter(isJobSpan);
}

const UNREAD: Readonly<Record<Exclude<SessionReading, "read">, string>> = {
  deleted: "was deleted, and its spans with it",
  gone: "does not exist any more",
  slow: "did not answer in time; ask about it itself",
  older: "runs an older version of Valet, which cannot be asked",
  failed: "could not answer; ask about it itself",
  left_out: "was not asked, since too many sessions belong to this",
};

function sentenceOf(sessionId: string, reading: SessionReading, work: readonly OtherWork[]): string {
  const session = `The session \`${sessionId}\``;
  if (reading !== "read") return `${session} ${UNREAD[reading]}.`;
  const failed = work.find(({ failure, state }) => failure !== null && state === "ended");
  const last = failed ?? work.at(-1);
  const { sentence = "", failure = null } = last ?? {};
  if (failure === null) return `${session}: ${sentence}`;
  return `${session}: ${failure.sentence}${failure.remedy === null ? "" : ` ${failure.remedy}`}`;
}

/**
 * Returns what each session's work for a job cost.
 * @param others what these sessions have told
 */
export function moneyOfOthers(sessions: readonly OtherSession[], others: readonly WhyOther[] = []): SessionMoney[] {
  const cut = new Set(others.flatMap(({ sessionId, lacksJobs }) => (lacksJobs === true ? [sessionId] : [])));
  return sessions.flatMap(({ sessionId, reading, work }) => {
    const given = work.filter(({ role }) => role === "work");
    if (given.length === 0 && reading === "read") return [];
    // What a session that could not be read did, if anything, is unknown.
    if (reading !== "read") return [{ sessionId, cost_usd: null, known: false }];
    const missing = given.filter(({ known }) => !known).length + Number(cut.has(sessionId));
    const sum = given.reduce((total, { cost_usd }) => total + (cost_usd ?? 0), 0);
    return [{ sessionId, cost_usd: knownSum(sum, missing), known: missing === 0 }];
  });
}

/** Returns a sentence to follow that about the job's own cost; empty if no other session cost anything. */
export function moneyText(children: readonly SessionMoney[]): string {
  if (children.every(({ cost_usd, known }) => known && cost_usd === 0)) return "";
  const missing = children.filter(({ known }) => !known).length;
  const sum = children.reduce((total, { cost_usd }) => total + (cost_usd ?? 0), 0);
  const cost = costText(knownSum(sum, missing), missing > 0);
  const who = children.length === 1 ? "a child session" : `${children.length} child sessions`;
  return cost === "cost unknown" ? ` What ${who} cost besides is unknown.` : ` Besides, ${who} cost ${cost}.`;
}

/** Returns a clause about the first other session whose work failed; empty if none did. */
export function failureClause(sessions: readonly OtherSession[]): string {
  for (const { sessionId, work } of sessions) {
    for (const { failure, role, state } of work) {
      if (failure === null || state !== "ended") continue;
      const { type } = failure.cause ?? failure;
      const what =
        role === "work" ? `its child session \`${sessionId}\` failed` : `it reports that \`${sessionId}\` failed`;
      return `; ${what}, because of \`${type}\``;
    }
  }
  return "";
}
