/** Reads everything of a session as the API sends it, with fields that this version does not know. */
import { z } from "zod";
import { diffPath } from "../api-client.ts";
import { ApiTransport, errorOf } from "../api-transport.ts";
import type { Connection } from "../system/state.ts";

/** A page of spans may have 16 MB. */
const STREAM_TIMEOUT_MS = 10 * 60_000;
const RAW = z.record(z.string(), z.unknown());
const RAW_PAGE = z.looseObject({ nextCursor: z.string().optional() });
/** A message, turn or workflow as the API sends it. */
export type RawItem = Readonly<Record<string, unknown>>;

export class ExportReader {
  readonly #http: ApiTransport;

  constructor(connection: Connection) {
    this.#http = new ApiTransport(connection);
  }

  /** Returns a session, or one of its workflows. */
  raw(id: string, executionId?: string): Promise<RawItem> {
    const path = `/api/sessions/${encodeURIComponent(id)}`;
    const more = executionId === undefined ? "" : `/workflows/${encodeURIComponent(executionId)}`;
    return this.#http.call("GET", `${path}${more}`, RAW);
  }

  /** Returns what one turn changed, with its patch. */
  rawChanges(id: string, attemptId: string): Promise<RawItem> {
    return this.#http.call("GET", diffPath(id, { from: attemptId, to: attemptId }), RAW);
  }

  /** Yields the pages of one of a session's lists, oldest first. */
  async *rawPages(id: string, list: "messages" | "turns" | "workflows"): AsyncGenerator<readonly RawItem[]> {
    const path = `/api/sessions/${encodeURIComponent(id)}/${list}`;
    let query = "";
    for (;;) {
      const page = await this.#http.call("GET", `${path}${query}`, RAW_PAGE);
      yield (page[list] ?? []) as readonly RawItem[];
      if (page.nextCursor === undefined) return;
      query = `?cursor=${encodeURIComponent(page.nextCursor)}`;
    }
  }

  /** Yields a session's ended spans page by page: lines, each of which is an OTLP/JSON request. */
  async *spanPages(id: string): AsyncGenerator<readonly string[]> {
    const path = `/api/sessions/${encodeURIComponent(id)}/spans`;
    let query = "";
    for (;;) {
      const response = await this.#http.request("GET", `${path}${query}`, { timeoutMs: STREAM_TIMEOUT_MS });
      if (!response.ok) throw await errorOf(response);
      const lines = (await response.text().catch(this.#http.brokenOff)).split("\n").filter((line) => line !== "");
      const cursor = cursorIn(lines.at(-1) ?? "");
      if (cursor !== undefined) lines.pop();
      yield lines;
      if (cursor === undefined) return;
      query = `?cursor=${encodeURIComponent(cursor)}`;
    }
  }
}

/** Returns the cursor of the next page, if this line of a page is the last one and there is another page. */
function cursorIn(line: string): string | undefined {
  return line.startsWith('{"resourceSpans":[],') ? RAW_PAGE.safeParse(JSON.parse(line)).data?.nextCursor : undefined;
}
