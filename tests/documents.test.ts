// What the documents name exists: files, folders and variables of this repository, and the targets of links.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
}).split("\n");
/** Each file and folder, from the root. */
const paths = new Set(files.flatMap((path) => [path, ...foldersOf(path)]));
const documents = files.filter((path) => /(?:^|\/)[A-Z]+\.md$|^docs\/.*\.md$/.test(path));
const sources = files.filter((path) => /^packages\/.*\.ts$/.test(path) && !path.endsWith(".test.ts"));
const code = sources.map((path) => readFileSync(join(ROOT, path), "utf8")).join("\n");
/** Files elsewhere: in state directories, users' repositories and other programs. `x.node.test.ts` is a pattern. */
const ELSEWHERE =
  /^(?:AGENTS\.md|spans\.yaml|x\.node\.test\.ts|opencode\.jsonc?|format\.json|secrets\.json|connection\.json|steps\.json|tsconfig\.json|snapshot\.json|workerd\.json|\.modal\.toml)$/;

function foldersOf(path: string): string[] {
  const folder = dirname(path);
  return folder === "." ? [] : [folder, ...foldersOf(folder)];
}

/** Whether a file or folder has this path, or one that ends with it. */
function isThere(name: string): boolean {
  const path = name.replace(/\/$/, "");
  return paths.has(path) || [...paths].some((each) => each.endsWith(`/${path}`));
}

/** Returns the names of files and folders in a document's code spans; blocks are left out, since they show commands. */
function namesIn(text: string): string[] {
  const prose = text.replaceAll(/^```.*?^```/gms, "");
  const spans = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, span = ""]) => span);
  return spans.filter(
    (span) =>
      /^[\w.-]+(?:\/[\w.-]+)*\.(?:ts|mjs|sh|sql|json|jsonc|yaml|md)$/.test(span) ||
      /^(?:packages|tests|bench|docs|scripts|src)(?:\/[\w.-]+)*\/?$/.test(span),
  );
}

/** Returns the anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  const text = heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "");
  return text.replaceAll(" ", "-");
}

function anchorsIn(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchorOf(heading));
}

test("the documents are found", () => {
  expect(documents).toEqual(expect.arrayContaining(["README.md", "ARCHITECTURE.md", "docs/deploy.md"]));
});

describe.each(documents)("%s", (document) => {
  const text = readFileSync(join(ROOT, document), "utf8");

  test("names files and folders that exist", () => {
    const names = new Set(namesIn(text).filter((name) => !ELSEWHERE.test(name)));
    expect([...names].filter((name) => !isThere(name.replace(/^[WSR]\//, "")))).toEqual([]);
  });

  test("names variables of Valet and OpenCode that the code reads or sets", () => {
    const names = new Set(text.match(/\b(?:VALET|SANDBOX|OPENCODE)_[A-Z_]*[A-Z](?![A-Z_*…{])/g));
    expect([...names].filter((name) => !code.includes(name))).toEqual([]);
  });

  test("links to what exists", () => {
    const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)];
    const broken = links.filter(([, path = "", anchor]) => {
      const target = path === "" ? document : join(dirname(document), path);
      if (!paths.has(target)) return true;
      return anchor !== undefined && !anchorsIn(readFileSync(join(ROOT, target), "utf8")).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });
});
