import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

test("`print` and `report` replace control characters; `printJson` is exact", () => {
  const script = `
    const { print, printJson, report } = await import(${JSON.stringify(new URL("./context.ts", import.meta.url).href)});
    print("a\\u001b[2J"); report("b\\u0007"); printJson({ c: "\\u202e\\u001b" });
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  expect(stdout).toBe(`a␛[2J\n${JSON.stringify({ c: "\u202e\u001b" })}\n`);
  expect(stderr).toBe("b␇\n");
});
