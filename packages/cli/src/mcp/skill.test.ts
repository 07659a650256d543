/** The skill that tells an agent how to use `valet mcp` says what is true. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { VERDICT_STATES } from "@valet/shared/protocol/verdict";
import { expect, test } from "vitest";
import { READ_TOOLS } from "./server.ts";
import { WRITE_TOOLS } from "./write-tools.ts";

const skill = readFileSync(resolve(import.meta.dirname, "../../../../docs/valet-skill.md"), "utf8");
const firstColumn = (head: string) => {
  const [, table = ""] = skill.split(`| ${head} |`);
  const rows = table.split("\n\n")[0]?.split("\n").slice(2) ?? [];
  return rows.map((row) => row.split("|")[1]?.trim().replaceAll("`", ""));
};

test("has the frontmatter of a skill", () => {
  expect(skill).toMatch(/^---\nname: valet\ndescription: .{50,1024}\n---\n/);
});

test("names every tool, and each verdict with its meaning", () => {
  for (const { name } of [...READ_TOOLS, ...WRITE_TOOLS]) expect(skill).toContain(`\`${name}\``);
  expect(firstColumn("verdict")).toEqual([...VERDICT_STATES]);
});

test("its configuration of OpenCode is JSON that starts the command", () => {
  const [, json = ""] = /```json\n(.*?)```/s.exec(skill) ?? [];
  expect(JSON.parse(json)).toMatchObject({
    mcp: { valet: { type: "local", command: expect.arrayContaining(["mcp"]) } },
  });
});
