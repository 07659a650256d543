/** The findings of the container engine, with servers that answer like one. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { findNoContainers } from "../../sandbox/src/docker/find-no-containers.ts";
import { checkEngine } from "./check-engine.ts";

const IMAGE = "some-image";
const model = { name: "m", isScripted: true };

/** Starts a server. @returns its address, as in `DOCKER_HOST` */
async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer);
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
/** Answers like an engine that has one image. */
const engineWith = (image: string) =>
  serve(({ url }, response) => {
    const found = url?.endsWith("/_ping") === true || url?.includes(`/images/${image}/json`) === true;
    response.writeHead(found ? 200 : 404, { "content-type": "application/json" }).end("{}");
  });
const usesOf = (engine: string) => ({ model, backend: null, containers: { engine, image: IMAGE } });

test("an engine that answers and has the image of the running host", async () => {
  const engine = await engineWith(IMAGE);
  const source = "the running host";
  expect(await checkEngine(usesOf(engine), {})).toEqual([
    { name: "container engine", state: "ok", detail: `${engine} answers`, source },
    { name: "sandbox image", state: "ok", detail: `the engine has ${IMAGE}`, source },
  ]);
});

test("an image that is missing, and an engine that cannot be reached or used, are named with what to do", async () => {
  const env = { VALET_BROKER_DRIVER: "docker", DOCKER_HOST: await engineWith("another"), VALET_DOCKER_IMAGE: IMAGE };
  expect(await checkEngine(undefined, env)).toMatchObject([
    { name: "container engine", state: "ok", source: "this shell's environment" },
    { name: "sandbox image", state: "missing", detail: expect.stringContaining("`valet image build`") },
  ]);
  const [gone, ...rest] = await checkEngine(usesOf("unix:///nonexistent/engine.sock"), env);
  expect(gone).toMatchObject({ name: "container engine", state: "missing", source: "the running host" });
  expect(gone?.detail).toMatch(/cannot be reached.*ENOENT.*podman system service/);
  expect(rest).toEqual([]);
  const failing = await serve(({ url }, response) => {
    response.writeHead(url?.endsWith("/_ping") === true ? 200 : 500).end("{}");
  });
  expect(await checkEngine(usesOf(failing), {})).toMatchObject([
    { state: "missing", detail: "the container engine cannot be used: the engine answered 500" },
  ]);
  expect(await checkEngine(usesOf("nonsense"), {})).toMatchObject([
    { state: "missing", detail: expect.stringContaining("unix:///path or tcp://host:port") },
  ]);
});

test("an engine that does not answer counts as unreachable", async () => {
  const hanging = await serve(() => {});
  expect(await findNoContainers(hanging, IMAGE, "/", 50)).toMatchObject({
    what: "engine",
    reason: expect.stringContaining("cannot be reached"),
  });
});

test("without the driver docker there is nothing to say", async () => {
  expect(await checkEngine({ model, backend: null }, { VALET_DOCKER_IMAGE: IMAGE })).toEqual([]);
  expect(await checkEngine(undefined, {})).toEqual([]);
});
