/** The diff of a file: only the pieces near the window exist, so that long ones scroll as well as short ones. */

import type { PatchFile } from "@valet/shared/patch";
import { useMemo } from "react";
import { Diff, Hunk } from "react-diff-view";
import { WindowRows } from "../../ui/window-rows.tsx";
import { diffChunks } from "./diff-chunks.ts";

/** The likely height of a piece, px. */
const CHUNK_HEIGHT = 1_000;

export function FileDiff({ file }: { readonly file: PatchFile }) {
  const chunks = useMemo(() => diffChunks(file), [file]);
  return (
    <WindowRows label={`Diff of ${file.path.slice(0, 200)}`} rows={chunks} height={CHUNK_HEIGHT}>
      {({ head, hunk }) => (
        <>
          {head !== undefined && <p className="changes-hunk mono">{head}</p>}
          <Diff viewType="unified" diffType="modify" hunks={[hunk]} gutterType="default">
            {(hunks) => hunks.map((each) => <Hunk key={each.content} hunk={each} />)}
          </Diff>
        </>
      )}
    </WindowRows>
  );
}
