/** Attachments, where an agent exchanges the folder for a link while they are stored. */
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exchange, tryFor } from "../../test/exchange.ts";
import { temporaryFolder } from "../../test/folder.ts";
import { attachmentParts } from "./attachments.ts";

const ZIP = { filename: "a.zip", mediaType: "application/zip", url: "data:application/zip;base64,UEsDBBQAAAAIAA==" };

test.runIf(process.platform === "linux")("no attachment is written through a link, and some are stored", async () => {
  const [workspace, outside] = [temporaryFolder(), temporaryFolder()];
  mkdirSync(join(workspace, ".valet/attachments"), { recursive: true });
  symlinkSync(outside, join(workspace, "link"));
  await exchange(join(workspace, ".valet/attachments"), join(workspace, "link"));
  let stored = 0;
  await tryFor(
    1_000,
    (round) => {
      const [part] = attachmentParts([ZIP], { workspace, attemptId: `att_${round}` });
      if (part?.type === "text" && part.text.includes("is in the workspace")) stored++;
    },
    () => readdirSync(outside).length > 0,
  );
  expect(readdirSync(outside)).toEqual([]);
  expect(stored).toBeGreaterThan(0);
});
