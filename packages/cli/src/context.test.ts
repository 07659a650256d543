import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { findConnection } from "./context.ts";

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

test.each(["localhost:8787", "ftp://valet.example", "valet"])(
  "an address that is no http URL is refused: %s",
  (url) => {
    expect(() => findConnection({ state: "nowhere", url, token: "x" })).toThrow(
      `--url: ${url} is no http or https URL, such as http://localhost:8787.`,
    );
  },
);

test("who has no token of another machine's Valet reads where one is made without any", () => {
  expect(() => findConnection({ state: "nowhere", url: "https://valet.example" })).toThrow(
    /The machine that runs `valet up` needs none: there `valet token create <name>`, without --url, makes one\. Of a deployment/,
  );
});
