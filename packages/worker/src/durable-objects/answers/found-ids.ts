/** Finds the session's messages, workflows, turns and traces whose ids begin with a text. Writes nothing. */
import { type FoundId, type FoundIds, ID_PREFIXES, MAX_FOUND_IDS } from "@valet/shared/protocol/found-ids";
import { type IdRange, idRange } from "../core/id-range.ts";
import { isoTime } from "../core/iso-time.ts";
import type { JobStore } from "../queue/job-store.ts";

/** What is read. Each returns at most `limit` items in the order of their ids. */
export interface IdSources {
  readonly jobs: Pick<JobStore, "jobsIn">;
  /** The ids of turns that have ended. */
  readonly records: { idsIn(range: IdRange, limit: number): readonly string[] };
  readonly traces: {
    startingWith(
      text: string,
      limit: number,
    ): readonly { readonly traceId: string; readonly startUs: number; readonly name?: string | undefined }[];
  };
}

/** One more than an answer names shows that there are more. */
const LIMIT = MAX_FOUND_IDS + 1;

export function findIds({ jobs, records, traces }: IdSources, text: string): FoundIds {
  const { message, workflow, turn } = ID_PREFIXES;
  const ofJobs = rangesOf(text, message, workflow).flatMap((range) =>
    jobs.jobsIn(range, LIMIT).map(({ id, kind, acceptedMs }) => ({ kind, id, at: isoTime(acceptedMs), title: null })),
  );
  const ofTurns = rangesOf(text, turn).flatMap((range) =>
    records.idsIn(range, LIMIT).map((id) => ({ kind: "turn" as const, id, at: null, title: null })),
  );
  const ofTraces = traces.startingWith(text, LIMIT).map(({ traceId: id, startUs, name = null }) => ({
    kind: "trace" as const,
    id,
    at: isoTime(startUs / 1000),
    title: name,
  }));
  const all: (readonly FoundId[])[] = [ofJobs, ofTurns, ofTraces];
  return {
    ids: all.flatMap((found) => found.slice(0, MAX_FOUND_IDS)),
    hasMore: all.some(({ length }) => length > MAX_FOUND_IDS),
  };
}

/** Returns the ranges of the ids that begin with the text, or with it after a prefix. No id is in two of them. */
function rangesOf(text: string, ...prefixes: readonly string[]): IdRange[] {
  const others = prefixes.filter((prefix) => !text.startsWith(prefix) && !prefix.startsWith(text));
  return [text, ...others.map((prefix) => prefix + text)].map(idRange);
}
