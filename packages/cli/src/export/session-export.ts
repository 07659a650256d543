/** Writes everything that the API has of a session into a folder: JSON lines, and a manifest with what is in them. */
import { type ExportedFile, ExportFolder } from "./export-folder.ts";
import type { ExportReader, RawItem } from "./export-reader.ts";

/** The format of the folder. A change that readers must know of has another number. */
export const EXPORT_FORMAT = 1;

export interface ExportManifest {
  readonly format: typeof EXPORT_FORMAT;
  /** The version of the program that wrote the folder. */
  readonly valet: string;
  readonly sessionId: string;
  /** The session's status when the export began: what a session that works adds meanwhile may be missing. */
  readonly status: unknown;
  /** ISO 8601. */
  readonly exportedAt: string;
  /** How many messages, turns, workflows and ended spans there are. */
  readonly counts: Readonly<Record<"messages" | "turns" | "workflows" | "spans", number>>;
  readonly files: Readonly<Record<string, ExportedFile>>;
}

export type ExportApi = Pick<ExportReader, "raw" | "rawPages" | "rawChanges" | "spanPages">;

export interface SessionExportOptions {
  readonly api: ExportApi;
  readonly sessionId: string;
  readonly folder: string;
  readonly version: string;
  /** Called after each line with the file that it is in, and how many lines that has so far. */
  readonly onLine: (file: string, lines: number) => void;
  readonly now?: () => Date;
}

/** @returns the manifest, and the absolute path of the folder */
export async function exportSession(
  options: SessionExportOptions,
): Promise<{ manifest: ExportManifest; path: string }> {
  const { api, sessionId, version, onLine, now = () => new Date() } = options;
  // Whether it exists is known before anything is written.
  const session = await api.raw(sessionId);
  const folder = await ExportFolder.create(options.folder);
  try {
    const exportedAt = now().toISOString();
    const files: Record<string, ExportedFile> = {};
    const write = async (name: string, lines: AsyncIterable<string>) => {
      files[name] = await folder.write(
        name,
        announced(lines, (count) => onLine(name, count)),
      );
      return files[name].lines;
    };
    const spans = new SpanCount();
    await write("session.jsonl", textOf([session]));
    const counts = {
      messages: await write("messages.jsonl", textOf(items(api, sessionId, "messages"))),
      turns: await write("turns.jsonl", textOf(items(api, sessionId, "turns"))),
      workflows: await write("workflows.jsonl", textOf(workflows(api, sessionId))),
    };
    await write("changes.jsonl", textOf(changes(api, sessionId)));
    await write("traces.otlp.jsonl", spans.counted(api.spanPages(sessionId)));
    const { status } = session;
    const manifest: ExportManifest = {
      format: EXPORT_FORMAT,
      valet: version,
      sessionId,
      status,
      exportedAt,
      counts: { ...counts, spans: spans.count },
      files,
    };
    await folder.write("manifest.json", textOf([manifest]));
    return { manifest, path: await folder.complete() };
  } catch (error) {
    await folder.discard();
    throw error;
  }
}

async function* items(api: ExportApi, id: string, list: "messages" | "turns" | "workflows"): AsyncGenerator<RawItem> {
  for await (const page of api.rawPages(id, list)) yield* page;
}

/** The workflows, with the output of their steps, which the list lacks. */
async function* workflows(api: ExportApi, id: string): AsyncGenerator<RawItem> {
  for await (const { id: executionId } of items(api, id, "workflows")) yield await api.raw(id, executionId as string);
}

/** What each turn changed, with its patch. */
async function* changes(api: ExportApi, id: string): AsyncGenerator<RawItem> {
  for await (const { attempt_id } of items(api, id, "turns")) yield await api.rawChanges(id, attempt_id as string);
}

async function* textOf(values: AsyncIterable<object> | Iterable<object>): AsyncGenerator<string> {
  for await (const value of values) yield JSON.stringify(value);
}

async function* announced(lines: AsyncIterable<string>, onLine: (count: number) => void): AsyncGenerator<string> {
  let count = 0;
  for await (const line of lines) {
    yield line;
    onLine(++count);
  }
}

/** Counts the spans in lines of OTLP/JSON. */
class SpanCount {
  count = 0;

  async *counted(pages: AsyncIterable<readonly string[]>): AsyncGenerator<string> {
    for await (const page of pages) {
      for (const line of page) {
        this.count += spansIn(line);
        yield line;
      }
    }
  }
}

interface OtlpRequest {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly unknown[] }[] }[];
}

function spansIn(line: string): number {
  const { resourceSpans } = JSON.parse(line) as OtlpRequest;
  const groups = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans);
  return groups.reduce((sum, { spans }) => sum + spans.length, 0);
}
