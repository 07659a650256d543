/** Makes the answer about changes from what the session stores. */
import { parsePatch } from "@valet/shared/patch";
import {
  CHANGES_LIMITS,
  type DiffView,
  type FileChange,
  type PatchState,
  type TurnChangesView,
} from "@valet/shared/protocol/changes";
import { knownSum } from "@valet/shared/protocol/cost";
import type { DiffAnswer } from "../durable-objects/contract.ts";

/** A turn with its patch as text. */
export interface UnpackedTurn {
  readonly view: TurnChangesView;
  readonly patch: Uint8Array | undefined;
}

/**
 * Decompresses the patches, newest first, until the answer is full. A sandbox has compressed them, so one may be damaged, or larger
 * than any turn's may be: such a patch counts as dropped.
 */
export async function unpackPatches(
  turns: DiffAnswer["turns"],
  maxBytes: number = CHANGES_LIMITS.answerTextBytes,
): Promise<UnpackedTurn[]> {
  let left = maxBytes;
  const unpacked: UnpackedTurn[] = [];
  for (const { view, patch: gzip } of turns.toReversed()) {
    const as = (patch: PatchState) => unpacked.unshift({ view: { ...view, patch }, patch: undefined });
    if (gzip === undefined) unpacked.unshift({ view, patch: undefined });
    else if (left <= 0) as("omitted");
    else {
      const patch = await unzip(gzip, CHANGES_LIMITS.patchTextBytes);
      left -= patch?.length ?? 0;
      if (patch === undefined) as("dropped");
      else if (left < 0) as("omitted");
      else unpacked.unshift({ view, patch });
    }
  }
  return unpacked;
}

/** Returns a turn with the part of its patch that is about one file. Files have any encoding, so bytes stay as they are. */
export function ofFile({ view, patch }: UnpackedTurn, path: string): UnpackedTurn {
  if (patch === undefined) return { view, patch };
  // Latin-1 has one character for each byte.
  const files = parsePatch(Buffer.from(patch).toString("latin1"));
  const isWanted = (name: string) => name === path || Buffer.from(name, "latin1").toString("utf8") === path;
  const texts = files.filter((file) => isWanted(file.path)).map(({ text }) => text);
  return { view, patch: Buffer.from(texts.join(""), "latin1") };
}

/** Returns the patches of the turns, in order. */
export function patchBytes(turns: readonly UnpackedTurn[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(turns.flatMap(({ patch }) => patch ?? [])));
}

export function joinDiff({
  sessionId,
  omittedTurns,
  turns,
}: Omit<DiffAnswer, "turns"> & { readonly turns: readonly UnpackedTurn[] }): DiffView {
  const views = turns.map(({ view }) => view);
  const known = views.filter(({ unknown }) => unknown === null);
  const unknown_turns = views.length - known.length;
  const sum = (key: "commits" | "lines_added" | "lines_removed") => {
    const values = known.flatMap((view) => view[key] ?? []);
    return knownSum(
      values.reduce((total, value) => total + value, 0),
      views.length - values.length,
    );
  };
  const files = mergeFiles(known.map((view) => view.files));
  const unlisted = known.reduce((total, view) => total + (view.files_changed ?? 0) - view.files.length, 0);
  return {
    session_id: sessionId,
    omitted_turns: omittedTurns,
    turns: views,
    commits: sum("commits"),
    files_changed: knownSum(files.length + unlisted, unknown_turns),
    lines_added: sum("lines_added"),
    lines_removed: sum("lines_removed"),
    unknown_turns,
    files,
    patch: new TextDecoder().decode(patchBytes(turns)),
  };
}

/** Merges the lists of turns in order: a file that several turns changed is one, and one that came and went is none. Pure. */
export function mergeFiles(lists: readonly (readonly FileChange[])[]): FileChange[] {
  const merged = new Map<string, FileChange>();
  for (const change of lists.flat()) {
    const before = merged.get(change.path);
    const wasNew = before?.kind === "added";
    if (wasNew && change.kind === "deleted") merged.delete(change.path);
    else {
      merged.set(change.path, {
        ...change,
        kind: wasNew ? "added" : before?.kind === "deleted" && change.kind === "added" ? "modified" : change.kind,
        lines_added: plus(before, change, "lines_added"),
        lines_removed: plus(before, change, "lines_removed"),
      });
    }
  }
  return [...merged.values()];
}

function plus(before: FileChange | undefined, change: FileChange, key: "lines_added" | "lines_removed"): number | null {
  if (before === undefined) return change[key];
  const [first, second] = [before[key], change[key]];
  return first === null || second === null ? null : first + second;
}

/** @returns `undefined` if it is no gzip, or has more than `maxBytes` */
async function unzip(gzip: Uint8Array, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    const text = new Response(Uint8Array.from(gzip)).body?.pipeThrough(new DecompressionStream("gzip"));
    for await (const chunk of text ?? []) {
      bytes += chunk.length;
      if (bytes > maxBytes) return undefined;
      chunks.push(chunk);
    }
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks);
}
