/** The build of the image by real engines, of a small checkout. Skipped where this machine cannot run one. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/broker.ts";
import { describeEngines, startEngine, type TestEngine } from "../../test/engine.ts";
import { buildImage } from "./build-image.ts";
import { findNoContainers } from "./find-no-containers.ts";

function makeCheckout(dockerfile: string): string {
  const root = temporaryFolder();
  const files = {
    "package.json": "{}",
    "pnpm-lock.yaml": "",
    "pnpm-workspace.yaml": "",
    "secret.txt": "not of the image",
    "packages/shared/src/kept.ts": "kept",
    "packages/shared/src/kept.test.ts": "left out",
    "packages/shared/node_modules/x/index.js": "left out",
    "packages/runner/dist/old.js": "left out",
    "packages/opencode-plugin/package.json": "{}",
    "packages/sandbox/image/Dockerfile": dockerfile,
    "packages/scripted-model/scenarios/demo-repo/kept.js": "",
    "packages/scripted-model/src/left-out.ts": "left out",
  };
  for (const [path, content] of Object.entries(files)) {
    // As with the umask 077.
    mkdirSync(dirname(join(root, path)), { recursive: true, mode: 0o700 });
    writeFileSync(join(root, path), content, { mode: 0o600 });
  }
  return root;
}

describeEngines(
  "the image of sandboxes, which the engine builds from the checkout and a base that it has already",
  (name, isFirst) => {
    let engine: TestEngine;
    beforeAll(async () => {
      engine = await startEngine(name);
      await engine.makeImage("some-base");
    }, 60_000);
    afterAll(() => engine?.close(), 60_000);

    const build = async (dockerfile: string) => {
      const lines: string[] = [];
      const root = makeCheckout(dockerfile);
      const onLine = (line: string) => lines.push(line);
      await buildImage({ root, engine: engine.host, tag: "built", base: "some-base", onLine });
      return lines;
    };

    test("is built from the base that was asked for, of what the checkout has and nothing else", async () => {
      const lines = await build("ARG BASE=none\nFROM $BASE\nCOPY . /checkout\nENV MADE=here\n");
      expect(lines.join("\n")).toContain("COPY");
      const seen = engine.run(
        ...[
          "run",
          "--rm",
          "--network=none",
          "built",
          "bash",
          "-c",
          "find /checkout -type f | sort; echo $MADE; stat -c %u:%a /checkout/package.json /checkout/packages/runner /checkout/packages/shared/src/kept.ts",
        ],
      );
      const { Config } = await engine.engine.getImage("built").inspect();
      expect(Config.Labels).toMatchObject({ "valet-source": expect.stringMatching(/^[0-9a-f]{16}$/) });
      expect(seen.trim().split("\n")).toEqual([
        "/checkout/package.json",
        "/checkout/packages/opencode-plugin/package.json",
        "/checkout/packages/sandbox/image/Dockerfile",
        "/checkout/packages/scripted-model/scenarios/demo-repo/kept.js",
        "/checkout/packages/shared/src/kept.ts",
        "/checkout/pnpm-lock.yaml",
        "/checkout/pnpm-workspace.yaml",
        "here",
        "0:644",
        "0:755",
        "0:644",
      ]);
    });

    test("a step that fails is named", async () => {
      await expect(build("FROM some-base\nCOPY nothing /nothing\n")).rejects.toThrow(
        /The image cannot be built: .*nothing/s,
      );
      expect(await engine.engine.listContainers({ all: true })).toEqual([]);
    });

    // Of the label that every engine keeps as it is.
    if (isFirst) {
      test("an image of other sources than the checkout's is recognised; a change of anything else in the checkout makes no difference", async () => {
        const root = makeCheckout("FROM some-base\n");
        await buildImage({ root, engine: engine.host, tag: "dated", onLine: () => {} });
        const find = () => findNoContainers(engine.host, "dated", root);
        writeFileSync(join(root, "packages/shared/src/more.test.ts"), "");
        writeFileSync(join(root, "secret.txt"), "another one");
        expect(await find()).toBeUndefined();
        writeFileSync(join(root, "packages/shared/src/kept.ts"), "changed");
        expect(await find()).toMatchObject({ what: "version", reason: expect.stringContaining("`valet image build`") });
        // It says nothing of its sources.
        expect(await findNoContainers(engine.host, "some-base", root)).toBeUndefined();
      });
    }
  },
);

test("the image needs no BuildKit, which the engine's API does not use", () => {
  const dockerfile = readFileSync(new URL("../../image/Dockerfile", import.meta.url), "utf8");
  expect(dockerfile).not.toMatch(
    /^(?:(?:ADD|COPY) .*--(?:chmod|exclude|link|parents)|RUN .*--(?:mount|network|security)=|.*<<)/m,
  );
});

test.skipIf(process.platform !== "linux")("a base that lacks a tool gets it by apt-get", async () => {
  const dockerfile = readFileSync(new URL("../../image/Dockerfile", import.meta.url), "utf8");
  const step = /^RUN (.*apt-get install(?:[^\n]*\\\n)*[^\n]*)/ms.exec(dockerfile)?.[1]?.replaceAll("\\\n", " ");
  // A base without any tool: all that there is says how it was called.
  const programs = temporaryFolder();
  for (const name of ["apt-get", "ls", "rm"]) {
    writeFileSync(join(programs, name), `#!/bin/sh\necho "${name} $*"\n`, { mode: 0o755 });
  }
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", step ?? ""], { env: { PATH: programs } });
  expect(stdout).toMatch(/^apt-get update\napt-get install .*\bgit\b.*\bripgrep\b/);
});

test("an engine that is not there is named, with what to do", async () => {
  const options = { root: "/", engine: "unix:///nonexistent/engine.sock", tag: "t", onLine: () => {} };
  await expect(buildImage(options)).rejects.toThrow(/cannot be reached.*ENOENT.*podman system service/);
});

test("a checkout that cannot be read is named, whatever the engine does meanwhile", async () => {
  const engine = createServer(({ url }, response) => {
    if (url?.endsWith("/_ping") === true) response.end("OK");
  });
  await once(engine.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    engine.closeAllConnections();
    engine.close();
  });
  const { port } = engine.address() as AddressInfo;
  const options = { root: temporaryFolder(), engine: `tcp://127.0.0.1:${port}`, tag: "t", onLine: () => {} };
  await expect(buildImage(options)).rejects.toThrow(/The image cannot be built: ENOENT/);
});
