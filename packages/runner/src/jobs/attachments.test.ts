import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { attachmentParts } from "./attachments.ts";

const PNG = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex");
const ZIP = Buffer.from("504b0304140000000800", "hex");
const dataUrl = (type: string, bytes: Buffer) => `data:${type};base64,${bytes.toString("base64")}`;
const attached = (mediaType: string, bytes: Buffer, filename = "file") => ({
  filename,
  mediaType,
  url: dataUrl(mediaType, bytes),
});
const attemptId = "att_1";

test("a supported attachment is passed to the model unchanged", () => {
  const png = attached("image/png", PNG, "a.png");
  const [part] = attachmentParts([png], { workspace: "/nowhere", attemptId });
  expect(part).toEqual({ type: "file", mime: "image/png", filename: "a.png", url: png.url });
});

test.each([
  ["a type in capital letters", "IMAGE/PNG", `data:IMAGE/PNG;base64,${PNG.toString("base64")}`],
  ["a parameter", "image/png", `data:image/png;name=a.png;BASE64,${PNG.toString("base64")}`],
  ["no base64", "image/png", `data:image/png,${PNG.toString("hex").replace(/../g, "%$&")}`],
  ["base64's alphabet for URLs", "image/png", `data:image/png;base64,${PNG.toString("base64url")}`],
  ["another type in its URL", "image/png", `data:image/gif;base64,${PNG.toString("base64")}`],
  ["no type in its URL", "image/png", `data:;base64,${PNG.toString("base64")}`],
])("an image whose URL has %s is passed to the model in the usual form", (_what, mediaType, url) => {
  const [part] = attachmentParts([{ filename: "a.png", mediaType, url }], { workspace: "/nowhere", attemptId });
  expect(part).toEqual({ type: "file", mime: "image/png", filename: "a.png", url: dataUrl("image/png", PNG) });
});

test.each(["text/plain", "text/csv", "text/x-python", "application/json", "application/ld+json", "application/xml"])(
  "%s is text",
  (type) => {
    const [part] = attachmentParts([attached(type, Buffer.from("a,b"))], { workspace: "/nowhere", attemptId });
    const url = dataUrl("text/plain", Buffer.from("a,b"));
    expect(part).toEqual({ type: "file", mime: "text/plain", filename: "file", url });
  },
);

test.each([
  ["a zip file", "application/zip", ZIP],
  ["a spreadsheet", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ZIP],
  ["an image format that few models support", "image/tiff", Buffer.from("II*\0")],
  ["a PNG with other content", "image/png", ZIP],
  ["a text file with binary content", "text/plain", Buffer.from([0xff, 0xfe, 0])],
  ["a file without a media type", "", ZIP],
])("%s is stored in the workspace and mentioned in the prompt", (_what, type, bytes) => {
  const workspace = temporaryFolder();
  const git = (...args: string[]) => execFileSync("git", args, { cwd: workspace, encoding: "utf8" });
  git("init", "--quiet");
  const [part] = attachmentParts([attached(type, bytes, "our numbers.xlsx")], { workspace, attemptId });
  const path = ".valet/attachments/att_1/1-our_numbers.xlsx";
  expect(part).toMatchObject({ type: "text", synthetic: true, text: expect.stringContaining(path) });
  expect(part).toMatchObject({ text: expect.stringContaining("our numbers.xlsx") });
  expect(readFileSync(join(workspace, path))).toEqual(bytes);
  expect(git("status", "--porcelain")).toBe("");
});

test("files with the same name are stored separately", () => {
  const workspace = temporaryFolder();
  attachmentParts([attached("a/b", ZIP), attached("a/b", PNG)], { workspace, attemptId });
  const read = (name: string) => readFileSync(join(workspace, ".valet/attachments/att_1", name));
  expect([read("1-file"), read("2-file")]).toEqual([ZIP, PNG]);
});

test("a link that the agent created is not followed", () => {
  const [workspace, outside] = [temporaryFolder(), temporaryFolder()];
  symlinkSync(outside, join(workspace, ".valet"));
  const [part] = attachmentParts([attached("a/b", ZIP)], { workspace, attemptId });
  expect(part).toMatchObject({ text: expect.stringContaining("could not be stored") });
  expect(existsSync(join(outside, "attachments"))).toBe(false);
});

test("an invalid data URL is mentioned in the prompt as such", () => {
  for (const url of ["data:", "data:a/b;base64,%%%", "data:a/b;base64,====x"]) {
    const [part] = attachmentParts([{ filename: "f", mediaType: "a/b", url }], { workspace: "/nowhere", attemptId });
    expect(part).toMatchObject({ text: expect.stringContaining("could not be stored") });
  }
});

test("no file name leads out of the folder", () => {
  const workspace = temporaryFolder();
  mkdirSync(join(workspace, "inner"));
  const inner = join(workspace, "inner");
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), fc.uuid(), (filename, attempt) => {
      const [part] = attachmentParts([attached("a/b", ZIP, filename)], { workspace: inner, attemptId: attempt });
      const path = /workspace: (.*)$/s.exec(part?.type === "text" ? part.text : "")?.[1] ?? "";
      expect(path).toMatch(/^\.valet\/attachments\/[\w.-]+\/1-[\w.-]+$/);
      expect(readFileSync(join(inner, path))).toEqual(ZIP);
    }),
    { numRuns: 50 },
  );
});
