/** The answer `why` as lines for a terminal. Pure. */

import { breakdownText } from "../../duration-text.ts";
import type { CapacityHolders } from "../../protocol/capacity.ts";
import { costText } from "../../protocol/cost.ts";
import type { OtherSession, Part, WhyFailure, WhyView } from "../../protocol/why.ts";
import { reachedText, roomAdvice } from "../capacity-text.ts";
import { doing } from "./words.ts";

/** Parts that take less of the whole are summed up in one line. */
const SHOWN_SHARE = 0.01;

/**
 * Returns the sentence, the failure, the money, and the parts, largest first, each with the span that explains most of it.
 * @param width the columns of the terminal; absent for no limit. A line with an id may be longer
 */
export function whyLines(view: WhyView, width = Infinity): string[] {
  const { sentence, failure, money, time, sessions, capacityHolders } = view;
  const texts = [sentence];
  if (capacityHolders !== undefined) texts.push(...capacityTexts(capacityHolders));
  if (failure !== null) {
    // It names the first cause.
    texts.push(failure.sentence, ...saidTexts(failure));
    if (failure.remedy !== null) texts.push(failure.remedy);
  }
  texts.push(...sessions.map((session) => session.sentence));
  texts.push(money.sentence, ...money.avoidable.map(({ sentence: of }) => `Avoidable: ${of}`));
  return [
    ...texts.flatMap((text) => wrapped(text, width)),
    ...(time.parts.length === 0 ? [] : ["", ...partLines(time.parts, time.wall_ms, width, 0)]),
    ...evidenceLines(view),
    ...sessions.flatMap((session) => workLines(session, width)),
    ...(money.by.length < 2 ? [] : ["", ...moneyLines(view)]),
  ];
}

/** What the provider said, in one line. Servers of earlier versions do not tell. */
function saidTexts({ said }: Partial<Pick<WhyFailure, "said">>): string[] {
  return said == null ? [] : [`The provider said: “${said.replace(/\s+/g, " ").trim()}”`];
}

/** Says which limit is reached, and what to do. */
function capacityTexts(holders: CapacityHolders): string[] {
  const { nextStep, command } = roomAdvice(holders);
  return [`${reachedText(holders)}.`, `${nextStep} See \`${command}\`.`];
}

function partLines(parts: readonly Part[], wallMs: number, width: number, depth: number): string[] {
  const shown = parts.filter(({ ms }, index) => ms >= wallMs * SHOWN_SHARE || (index === 0 && depth === 0));
  const rest = parts.filter((part) => !shown.includes(part));
  const restMs = rest.reduce((sum, { ms }) => sum + ms, 0);
  const indent = "  ".repeat(depth);
  return [
    ...shown.flatMap((part) => [
      ...wrapped(`${timeColumn(part.ms)}  ${indent}${doing(part)}`, width, " ".repeat(COLUMN + 2 + 2 * (depth + 1))),
      ...spanLine(part, indent),
      ...partLines(part.parts, wallMs, width, depth + 1),
    ]),
    ...(rest.length === 0 ? [] : [`${timeColumn(restMs)}  ${indent}${rest.length} smaller`]),
  ];
}

/** The width of the column of durations. */
const COLUMN = 10;
const timeColumn = (ms: number) => breakdownText(ms).padStart(COLUMN);

function spanLine({ spans, spanCount }: Part, indent: string): string[] {
  const [largest] = spans;
  if (largest === undefined) return [];
  const more = spanCount > 1 ? ` +${spanCount - 1}` : "";
  return [`    ${indent}${largest.traceId}/${largest.spanId}${more}`];
}

/** Shows the work of another session as that of the job itself is shown. */
function workLines({ sessionId, work }: OtherSession, width: number): string[] {
  return work.flatMap(({ messageId, sentence, time, failure }) => [
    "",
    `Session ${sessionId}, ${messageId}:`,
    ...wrapped(sentence, width),
    ...partLines(time.parts, time.wall_ms, width, 0),
    ...evidenceLines({ failure }),
  ]);
}

function evidenceLines({ failure }: Pick<WhyView, "failure">): string[] {
  if (failure === null || failure.evidence.length === 0) return [];
  return [
    "",
    "Evidence:",
    ...failure.evidence.flatMap(({ name, at, note, traceId, spanId }) => [
      `  ${at}  ${name}`,
      `    ${note}`,
      `    ${traceId}/${spanId}`,
    ]),
  ];
}

function moneyLines({ money }: WhyView): string[] {
  return money.by.map(({ model, agent, cost_usd, known, calls }) => {
    const who = [model ?? "unknown model", agent].filter((each) => each !== null).join(", ");
    return `  ${costText(cost_usd, !known).padEnd(18)} ${who} (${calls} ${calls === 1 ? "call" : "calls"})`;
  });
}

/** Breaks a text at blanks, but for those that it begins with. @param hanging what later lines begin with */
function wrapped(text: string, width: number, hanging = "  "): string[] {
  const body = text.trimStart();
  const lines: string[] = [];
  let line = "";
  for (const word of body.split(" ")) {
    const start = lines.length > 0 ? hanging : text.slice(0, text.length - body.length);
    if (line === "") line = start + word;
    else if (line.length + 1 + word.length <= width) line = `${line} ${word}`;
    else {
      lines.push(line);
      line = hanging + word;
    }
  }
  return [...lines, line];
}
