/** The answer in one sentence. Pure. */

import { breakdownText } from "../../duration-text.ts";
import type { Part, WhyFailure } from "../../protocol/why.ts";
import { causeText, doing } from "./words.ts";

/** What an unfinished message is in now. */
export interface Now {
  readonly part: Pick<Part, "name" | "detail" | "cause">;
  /** Since when, in milliseconds before now. */
  readonly ms: number;
}

/** How much of the time is named before the sentence ends, and how many parts at most; a lost attempt is named in any case. */
const NAMED_SHARE = 0.97;
const MAX_NAMED = 5;
/** A part of a part is named if it takes this share of it. */
const INNER_SHARE = 0.25;

/** Parts that say no more than the one around them. */
const SAYS_NO_MORE: readonly Part["name"][] = ["unattributed", "sandbox.other", "sandbox.hibernate"];

/** Parts that are work: they follow each other in one clause. */
const WORK: readonly Part["name"][] = ["model.first_token", "model.streaming", "tool", "command", "sub_agent"];

/**
 * @param ended how it ended; `null` if it has not
 * @param now what it is in; `null` if it has ended, or that is not known
 * @param others a clause about other sessions, with its separator; empty for none
 */
export function sentenceOf(
  wallMs: number,
  parts: readonly Part[],
  ended: { readonly outcome: string; readonly reason: string | null; readonly failure: WhyFailure | null } | null,
  now: Now | null,
  others = "",
): string {
  const wall = breakdownText(wallMs);
  const head = ended === null ? `${wall} so far` : `${wall}${endText(ended)}`;
  const clauses = clausesOf(parts, wallMs);
  const present = now === null ? [] : [`now ${doing(now.part)}, for ${breakdownText(now.ms)}`];
  const all = [...clauses, ...present];
  return all.length === 0 ? `${head}${others}.` : `${head}: ${all.join("; ")}${others}.`;
}

function endText({ outcome, reason, failure }: NonNullable<Parameters<typeof sentenceOf>[2]>): string {
  if (outcome === "ok") return "";
  const type = failure?.type ?? reason;
  const why = type === null ? "" : ` with \`${type}\``;
  const cause = failure?.cause == null || failure.cause.type === type ? "" : `, because of \`${failure.cause.type}\``;
  const what: Readonly<Record<string, string>> = {
    error: "until it failed",
    lost: "until it was lost",
    aborted: "until it was aborted",
    superseded: "until another message replaced it",
    skipped: "until it was skipped",
  };
  return ` ${what[outcome] ?? `until it ended as ${outcome}`}${why}${cause}`;
}

/** Returns the clauses about the largest parts, in order of size. */
function clausesOf(parts: readonly Part[], wallMs: number): string[] {
  const named = largest(models(parts), wallMs);
  const work = named.filter(({ name }) => WORK.includes(name));
  const workMs = work.reduce((sum, { ms }) => sum + ms, 0);
  const clauses = named.filter((part) => !work.includes(part)).map((part) => ({ ms: part.ms, text: waitText(part) }));
  if (work.length > 0) clauses.push({ ms: workMs, text: work.map(workText).join(", ") });
  return clauses.sort((a, b) => b.ms - a.ms).map(({ text }) => text);
}

/** Returns the parts with the two of a model as one, with them below it. */
function models(parts: readonly Part[]): readonly Part[] {
  const isModel = ({ name }: Part) => name === "model.first_token" || name === "model.streaming";
  const byModel = Map.groupBy(parts.filter(isModel), ({ detail }) => detail);
  const joined = [...byModel].map(
    ([detail, [first, ...others]]): Part => ({
      ...(first as Part),
      detail: byModel.size === 1 ? null : detail,
      ms: [first as Part, ...others].reduce((sum, { ms }) => sum + ms, 0),
      parts: others.length === 0 && first?.name === "model.streaming" ? [] : [first as Part, ...others],
    }),
  );
  return [...parts.filter((part) => !isModel(part)), ...joined].sort((a, b) => b.ms - a.ms);
}

/** Returns the parts that are named. @param parts largest first */
function largest(parts: readonly Part[], wallMs: number): readonly Part[] {
  let sum = 0;
  let count = 0;
  for (const { ms } of parts) {
    if (count >= MAX_NAMED || sum >= wallMs * NAMED_SHARE) break;
    count++;
    sum += ms;
  }
  return parts.filter(({ name }, index) => index < count || name === "lost_attempt");
}

function waitText(part: Part): string {
  return `${breakdownText(part.ms)} ${doing(part)}${innerText(part)}`;
}

/** Says what the largest part of a part was, and what was the largest of that. */
function innerText({ ms, parts }: Part): string {
  const [inner] = parts;
  if (inner === undefined || SAYS_NO_MORE.includes(inner.name) || inner.ms < ms * INNER_SHARE) return "";
  return `, of which ${breakdownText(inner.ms)} ${doing(inner)}`;
}

/** Says how the only call of a tool failed; of several, the tools' own parts say which did. */
function failedText({ cause, spanCount }: Part): string {
  return cause === null || spanCount > 1 ? "" : ` (${causeText(cause)})`;
}

function workText(part: Part): string {
  const { name, detail, ms, parts } = part;
  const time = breakdownText(ms);
  if (name === "tool") return `\`${detail}\` took ${time}${failedText(part)}`;
  if (name === "command") return `the command of step \`${detail}\` took ${time}`;
  if (name === "sub_agent") {
    const inner = innerText(part).replace(", of which ", "");
    // Other work follows after a comma.
    return `the sub-agent \`${detail}\` took ${time}${inner === "" ? "" : ` (of which ${inner})`}`;
  }
  const firstToken = parts.find((inner) => inner.name === "model.first_token");
  const model = detail === null ? "the model" : `\`${detail}\``;
  const slow = firstToken !== undefined && firstToken.ms >= ms * 0.5 && firstToken.ms >= 1000;
  return `${model} took ${time}${slow ? `, ${breakdownText(firstToken.ms)} of it until the first token` : ""}`;
}
