/**
 * A stand-in for Modal on this machine: a real gRPC server for the part of Modal's protocol that the driver uses, with
 * the message definitions of the `modal` package. Its sandboxes are folders and processes, its images copies of
 * folders. It proves that the driver works with the real library and with real processes; it does NOT prove how Modal's
 * own service behaves: its limits on names and tags, its delays, its scheduling, its signals, its isolation.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire, Module } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CompatServiceDefinition, createServer, ServerError, Status } from "nice-grpc";

/** A message, as the package's own definition decodes it. */
// biome-ignore lint/suspicious/noExplicitAny: the package does not export its messages' types
type Handlers = Record<string, (request: any) => Promise<object> | object>;

interface Tag {
  readonly tagName: string;
  tagValue: string;
}

interface SecretSource {
  readonly env?: { readonly contents: Record<string, string> };
}

interface StandInSandbox {
  readonly id: string;
  readonly name: string;
  readonly createdAt: number;
  readonly tags: Tag[];
  readonly command: readonly string[];
  readonly env: Record<string, string>;
  readonly folder: string;
  readonly process: ChildProcess;
  readonly exited: Promise<unknown>;
  result?: { status: number; exitcode: number };
}

export interface ModalStandIn {
  /** The value for `MODAL_SERVER_URL`. */
  readonly url: string;
  /** By id, including those that have ended. */
  readonly sandboxes: ReadonlyMap<string, StandInSandbox>;
  /** The data written to sandboxes' standard input, in order. */
  readonly inputs: string[];
  /** The ids of all images. */
  readonly images: ReadonlySet<string>;
  /** Makes the next call of this method fail with this status. */
  failOnce(method: string, status: Status): void;
  /** Makes the next call of this method do its work and lose its answer. */
  loseAnswerOnce(method: string): void;
  close(): Promise<void>;
}

/** The only image at the start; it is empty. */
export const BASE_IMAGE = "im-base";
const SUCCESS = 1;
const FAILURE = 2;
const TERMINATED = 3;

export async function startModalStandIn(): Promise<ModalStandIn> {
  const root = mkdtempSync(join(tmpdir(), "valet-modal-"));
  const imageFolder = (id: string) => join(root, id);
  mkdirSync(imageFolder(BASE_IMAGE));
  const images = new Set([BASE_IMAGE]);
  const sandboxes = new Map<string, StandInSandbox>();
  const inputs: string[] = [];
  const faults: Faults = { failures: new Map(), lost: new Set() };

  const find = (id: string) => {
    const sandbox = sandboxes.get(id);
    if (sandbox === undefined) throw new ServerError(Status.NOT_FOUND, `no sandbox ${id}`);
    return sandbox;
  };
  const running = () => [...sandboxes.values()].filter(({ result }) => result === undefined);
  const mustRun = (id: string) => {
    const sandbox = find(id);
    if (sandbox.result !== undefined) throw new ServerError(Status.FAILED_PRECONDITION, "the sandbox has ended");
    return sandbox;
  };

  const start = (id: string, { definition, tags, secretSources }: Parameters<Handlers[string]>[0]): StandInSandbox => {
    const folder = imageFolder(id);
    cpSync(imageFolder(definition.imageId), folder, { recursive: true });
    const env = Object.assign({}, ...secretSources.map((each: SecretSource) => each.env?.contents));
    const [file, ...args] = definition.entrypointArgs;
    const child = spawn(file, args, {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, ...env },
      stdio: ["pipe", "ignore", "inherit"],
    });
    const sandbox: StandInSandbox = {
      id,
      tags,
      folder,
      env,
      process: child,
      command: definition.entrypointArgs,
      name: definition.name,
      createdAt: Date.now() / 1000,
      exited: once(child, "exit").then(([code]) => {
        sandbox.result ??= { status: code === 0 ? SUCCESS : FAILURE, exitcode: code ?? 137 };
      }),
    };
    return sandbox;
  };

  const access = () => ({ url: url.replace("http:", "https:"), jwt: "stand-in" });
  const api: Handlers = {
    authTokenGet: () => ({ token: `e30.${Buffer.from('{"exp":4102444800}').toString("base64url")}.s` }),
    appGetOrCreate: ({ appName }) => ({ appId: `ap-${appName}` }),
    imageFromId: ({ imageId }) => {
      if (!images.has(imageId)) throw new ServerError(Status.NOT_FOUND, `no image ${imageId}`);
      return { imageId };
    },
    imageDelete: ({ imageId }) => {
      if (!images.delete(imageId)) throw new ServerError(Status.NOT_FOUND, `no image ${imageId}`);
      rmSync(imageFolder(imageId), { recursive: true });
      return {};
    },
    sandboxCreateV2: (request) => {
      const { name } = request.definition;
      if (running().some((each) => each.name === name)) throw new ServerError(Status.ALREADY_EXISTS, name);
      const id = `sb-${randomUUID().replaceAll("-", "")}`;
      sandboxes.set(id, start(id, request));
      return { sandboxId: id, taskId: id, commandRouterAccess: access() };
    },
    sandboxGetTaskIdV2: ({ sandboxId }) => ({ taskId: mustRun(sandboxId).id }),
    sandboxGetCommandRouterAccess: access,
    sandboxGetFromNameV2: ({ sandboxName }) => {
      const found = running().find(({ name }) => name === sandboxName);
      if (found === undefined) throw new ServerError(Status.NOT_FOUND, sandboxName);
      return { sandboxId: found.id };
    },
    sandboxListV2: ({ tags, beforeTimestamp }) => {
      const has = (sandbox: StandInSandbox, { tagName, tagValue }: Tag) =>
        sandbox.tags.some((tag) => tag.tagName === tagName && tag.tagValue === tagValue);
      const found = running()
        .filter(({ createdAt }) => !beforeTimestamp || createdAt < beforeTimestamp)
        .filter((sandbox) => tags.every((tag: Tag) => has(sandbox, tag)))
        .sort((a, b) => b.createdAt - a.createdAt);
      return { sandboxes: found.map(({ id, createdAt }) => ({ id, createdAt })) };
    },
    sandboxTagsGetV2: ({ sandboxId }) => ({ tags: find(sandboxId).tags }),
    sandboxWaitV2: async ({ sandboxId, timeout }) => {
      const sandbox = find(sandboxId);
      if (timeout > 0) await Promise.race([sandbox.exited, sleep(timeout * 1000, undefined, { ref: false })]);
      return { result: sandbox.result };
    },
    sandboxTerminateV2: ({ sandboxId }) => {
      const sandbox = find(sandboxId);
      sandbox.process.kill("SIGTERM");
      void sandbox.exited.then(() => {
        sandbox.result = { status: TERMINATED, exitcode: 137 };
      });
      return {};
    },
  };
  const router: Handlers = {
    sandboxStdinWriteV2: ({ taskId, data, eof }) => {
      const { stdin } = mustRun(taskId).process;
      stdin?.on("error", () => {});
      if (data.length > 0) {
        inputs.push(Buffer.from(data).toString());
        stdin?.write(data);
      }
      if (eof) stdin?.end();
      return {};
    },
    taskSnapshotFilesystem: ({ taskId }) => {
      const { folder } = mustRun(taskId);
      const imageId = `im-${randomUUID().replaceAll("-", "")}`;
      cpSync(folder, imageFolder(imageId), { recursive: true });
      images.add(imageId);
      return { imageId };
    },
  };

  const { ModalClientDefinition, TaskCommandRouterDefinition } = loadDefinitions();
  const server = createServer();
  server.add(ModalClientDefinition, implement(api, faults));
  server.add(TaskCommandRouterDefinition, implement(router, faults));
  const url = `http://127.0.0.1:${await server.listen("127.0.0.1:0")}`;
  return {
    url,
    sandboxes,
    inputs,
    images,
    failOnce: (method, status) => faults.failures.set(method, status),
    loseAnswerOnce: (method) => faults.lost.add(method),
    close: async () => {
      for (const { process: child } of running()) child.kill("SIGTERM");
      await Promise.all([...sandboxes.values()].map(({ exited }) => exited));
      await server.forceShutdown();
      rmSync(root, { recursive: true, force: true });
    },
  };
}

interface Faults {
  readonly failures: Map<string, Status>;
  readonly lost: Set<string>;
}

/** Implements every method of the service; methods without a handler answer UNIMPLEMENTED. */
function implement(handlers: Handlers, { failures, lost }: Faults) {
  return new Proxy(
    {},
    {
      get: (_, method: string) => async (request: unknown) => {
        const failure = failures.get(method);
        failures.delete(method);
        if (failure !== undefined) throw new ServerError(failure, "as the test wants it: secret-of-the-service");
        const handler = handlers[method];
        if (handler === undefined) throw new ServerError(Status.UNIMPLEMENTED, method);
        const answer = await handler(request);
        if (lost.delete(method)) throw new ServerError(Status.UNAVAILABLE, "the answer was lost");
        return answer;
      },
    },
  );
}

/** Loads the service definitions that the `modal` package uses but does not export. */
function loadDefinitions(): Record<"ModalClientDefinition" | "TaskCommandRouterDefinition", CompatServiceDefinition> {
  const path = createRequire(import.meta.url).resolve("modal");
  const module = new Module(path) as Module & { _compile(source: string, path: string): void };
  module.paths = createRequire(path).resolve.paths("x") ?? [];
  module.filename = path;
  const names = "{ ModalClientDefinition, TaskCommandRouterDefinition }";
  module._compile(`${readFileSync(path, "utf8")}\nmodule.exports = ${names};`, path);
  return module.exports;
}
