import { useState } from "react";
import { announce } from "../app/announce.ts";
import { Kept, useKeptNow } from "../app/kept.ts";
import { randomId } from "../format/random-id.ts";
import { type AttachedFile, attachedFile, fileProblem } from "./attachments.ts";

/** What is attached to the drafts of this page, by session. It survives other pages of the explorer; a reload forgets it. */
const ATTACHED = new Kept<readonly AttachedFile[]>("draft");
const NONE: readonly AttachedFile[] = [];

interface Attachments {
  readonly files: readonly AttachedFile[];
  /** Why the last files were not attached, a sentence each. */
  readonly problems: readonly string[];
  add(files: readonly File[]): Promise<void>;
  remove(id: string): void;
  /** These have arrived. */
  clear(sent: readonly AttachedFile[]): void;
}

/** The files that go with the next message to a session. */
export function useAttachments(sessionId: string): Attachments {
  const files = useKeptNow(ATTACHED, sessionId, NONE);
  const [problems, setProblems] = useState<readonly string[]>([]);
  const change = (next: readonly AttachedFile[]) => ATTACHED.set(sessionId, next);
  const now = () => ATTACHED.get(sessionId) ?? NONE;
  return {
    files,
    problems,
    add: async (chosen) => {
      const { generation } = ATTACHED;
      const refused: string[] = [];
      let added = 0;
      for (const file of chosen) {
        const problem = fileProblem(file, now().length);
        if (problem !== undefined) refused.push(problem);
        else {
          const bytes = await contentOf(file);
          // Whoever attached it has signed out while it was read.
          if (ATTACHED.generation !== generation) return;
          if (bytes === undefined) refused.push(`“${file.name}” was not attached: the browser could not read it.`);
          // While it was read, others may have come.
          else if (fileProblem(file, now().length) === undefined) {
            change([...now(), attachedFile(file, bytes, randomId("file_"))]);
            added += 1;
          }
        }
      }
      setProblems(refused);
      if (added > 0) announce(added === 1 ? "One file is attached." : `${added} files are attached.`);
    },
    remove: (id) => {
      setProblems([]);
      change(now().filter((file) => file.id !== id));
    },
    clear: (sent) => {
      setProblems([]);
      change(now().filter(({ id }) => !sent.some((file) => file.id === id)));
    },
  };
}

/** Returns the content of a file; `undefined` if it cannot be read: it is a folder, or was removed. */
async function contentOf(file: File): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    return undefined;
  }
}
