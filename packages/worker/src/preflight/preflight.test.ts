import { ModelAccess } from "@valet/shared/protocol/model-access";
import { EGRESS_TARGET, EGRESS_URLS } from "@valet/shared/protocol/public-egress";
import { afterEach, describe, expect, test, vi } from "vitest";
import { call, signIn } from "../../test/api.ts";
import type { Env } from "../bindings.ts";
import { refuseModels } from "./models.ts";
import { refuseRepository } from "./repository.ts";

afterEach(() => vi.restoreAllMocks());

interface Request {
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
}

/** Answers the Worker's own requests. @returns the requests so far */
function answerWith(answer: (url: string) => Response | Promise<Response>): Request[] {
  const seen: Request[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const url = String(input);
    seen.push({ url, headers: new Headers(init?.headers), body: String(init?.body ?? "") });
    return answer(url);
  });
  return seen;
}

const json = (value: unknown) => () => Response.json(value);
const hanging = () => new Promise<Response>((_, reject) => setTimeout(() => reject(new Error("timeout")), 50));

describe("models", () => {
  const access = ModelAccess.parse({
    model: "valet/big",
    openAiCompatible: { baseUrl: "https://models.example/v1/", apiKey: "the-key" },
    providerKeys: { ANTHROPIC_API_KEY: "x" },
  });
  const LIST = { object: "list", data: [{ id: "big" }, { id: "small" }, { id: "team/tiny" }] };
  const endpoint = (url: string) =>
    url.endsWith("/models") ? Response.json(LIST) : new Response(null, { status: url.endsWith("/hidden") ? 200 : 404 });

  test.each([
    [{}],
    [{ model: "valet/big" }],
    [{ model: "valet/small", models: ["anthropic/claude", "valet/team/tiny"] }],
    [{ model: "valet/hidden" }],
    [{ model: "opencode/free", trustRepositoryConfig: true }],
  ])("%j may work", async (input) => {
    const seen = answerWith(endpoint);
    expect(await refuseModels(input, access)).toBeUndefined();
    for (const { headers } of seen) expect(headers.get("authorization")).toBe("Bearer the-key");
  });

  test.each([
    [{ model: "valet/bogus" }, "model", "Use one of valet/big, valet/small, valet/team/tiny"],
    [{ models: ["valet/big", "valet/team/bogus"] }, "models.1", "does not have this model"],
    [{ model: "openai/gpt" }, "model", "the providers of this deployment are valet, anthropic. Set OPENAI_API_KEY"],
    [{ model: "google/gemini" }, "model", "Set GEMINI_API_KEY or GOOGLE_GENERATIVE_AI_API_KEY where Valet runs."],
    [{ model: "bogus/model" }, "model", "no key of this model's provider is set"],
  ])("%j cannot, and the refusal names the field and the remedy", async (input, path, part) => {
    answerWith(endpoint);
    const refusal = await refuseModels(input, access);
    expect(refusal?.path).toBe(path);
    expect(refusal?.message).toContain(part);
  });

  test.each([
    ["is away", () => Promise.reject(new Error("network"))],
    ["hangs", hanging],
    ["has no list", () => new Response("<html>", { status: 404 })],
    ["answers with something else", json({ data: "no" })],
  ])("an endpoint that %s refuses nothing", async (_what, answer) => {
    answerWith(answer);
    expect(await refuseModels({ model: "valet/bogus" }, access)).toBeUndefined();
  });

  test("without an endpoint of its own, a deployment has only the providers of its keys", async () => {
    const { openAiCompatible: _, ...others } = access;
    const refusal = await refuseModels({ model: "valet/x" }, { ...others, model: "anthropic/claude" });
    expect(refusal?.message).toContain("the providers of this deployment are anthropic.");
  });
});

describe("a repository", () => {
  const REPO = "https://git.example/team/shop.git";
  const ADVERTISEMENT = "application/x-git-upload-pack-advertisement";
  const advertises = (body: string) => () => new Response(body, { headers: { "content-type": ADVERTISEMENT } });
  const WORKER = {} as Env;
  const V2 = "001e# service=git-upload-pack\n0000000eversion 2\n0013ls-refs=unborn\n0000";
  const refs = (...names: string[]) => {
    const line = (text: string) => (text.length + 4).toString(16).padStart(4, "0") + text;
    return `${names.map((name) => line(`${"a".repeat(40)} ${name}\n`)).join("")}0000`;
  };
  const host = (names: string) => (url: string) =>
    url.endsWith("git-upload-pack") && !url.includes("?") ? new Response(names) : advertises(V2)();

  test.each([
    [401, "repoUrl", "the remote refused the credentials"],
    [404, "repoUrl", "the host has no such repository"],
    [410, "repoUrl", "the host has no such repository"],
  ])("is refused if its host answers %i", async (status, path, part) => {
    answerWith(() => new Response("", { status }));
    const refusal = await refuseRepository({ repoUrl: REPO }, WORKER);
    expect(refusal?.path).toBe(path);
    expect(refusal?.message).toContain(part);
  });

  test("is refused if a web page is there", async () => {
    answerWith(() => new Response("<html>login</html>", { headers: { "content-type": "text/html" } }));
    expect((await refuseRepository({ repoUrl: REPO }, WORKER))?.message).toContain("does not serve a git repository");
  });

  test.each(["refs/heads/main", "refs/tags/main"])("is taken if it has the branch: %s", async (name) => {
    const seen = answerWith(host(refs("refs/heads/main-2", name)));
    expect(await refuseRepository({ repoUrl: REPO, branch: "main" }, WORKER)).toBeUndefined();
    expect(seen.map(({ url }) => url)).toEqual([
      `${REPO}/info/refs?service=git-upload-pack`,
      `${REPO}/git-upload-pack`,
    ]);
    expect(seen[1]?.body).toBe(
      "0014command=ls-refs\n0001001fref-prefix refs/heads/main\n001eref-prefix refs/tags/main\n0000",
    );
  });

  test("is refused if it lacks the branch", async () => {
    answerWith(host(refs("refs/heads/main-2")));
    const refusal = await refuseRepository({ repoUrl: REPO, branch: "main" }, WORKER);
    expect(refusal).toEqual({ path: "branch", message: expect.stringContaining("does not exist") });
  });

  test("its host alone receives its credentials", async () => {
    const seen = answerWith(() => new Response(null, { status: 302, headers: { location: "https://else.example/" } }));
    expect(await refuseRepository({ repoUrl: "https://me:p%40ss@git.example/a.git" }, WORKER)).toBeUndefined();
    expect(seen.map(({ url }) => url)).toEqual(["https://git.example/a.git/info/refs?service=git-upload-pack"]);
    expect(seen[0]?.headers.get("authorization")).toBe(`Basic ${btoa("me:p@ss")}`);
  });

  test.each([
    ["is away", () => Promise.reject(new Error("network"))],
    ["hangs", hanging],
    ["fails", () => new Response("", { status: 503 })],
    ["limits us", () => new Response("", { status: 403 })],
    ["speaks an older protocol", advertises(`001e# service=git-upload-pack\n0000${refs("refs/heads/x")}`)],
    ["cuts its list of refs", host("0040aaaa")],
  ])("a host that %s refuses nothing", async (_what, answer) => {
    answerWith(answer);
    expect(await refuseRepository({ repoUrl: REPO, branch: "main" }, WORKER)).toBeUndefined();
  });

  /** The service of `valet up`. */
  function egressThat(answer: object, variables: object = {}) {
    const seen: { readonly url: string; readonly target: string | null; readonly authorization: string | null }[] = [];
    const fetch = async (url: string, { headers }: RequestInit) => {
      const given = new Headers(headers);
      seen.push({ url, target: given.get(EGRESS_TARGET), authorization: given.get("authorization") });
      return Response.json(answer);
    };
    return { seen, env: { ...variables, PUBLIC_EGRESS: { fetch } } as unknown as Env };
  }

  test("is asked through the service that reaches public addresses only, where there is one", async () => {
    const direct = answerWith(() => new Response("", { status: 404 }));
    const { seen, env } = egressThat({ status: 404, contentType: null, text: "" });
    expect((await refuseRepository({ repoUrl: "https://me:pw@git.example/a.git" }, env))?.path).toBe("repoUrl");
    const target = "https://git.example/a.git/info/refs?service=git-upload-pack";
    expect(seen).toEqual([{ url: EGRESS_URLS.git, target, authorization: `Basic ${btoa("me:pw")}` }]);
    expect(direct).toEqual([]);
  });

  test("whose name leads to private addresses is not refused, and is not asked past the service", async () => {
    const direct = answerWith(() => new Response("", { status: 404 }));
    const { seen, env } = egressThat({ error: "the name of its host leads to private addresses only" });
    expect(await refuseRepository({ repoUrl: REPO, branch: "main" }, env)).toBeUndefined();
    expect(seen).toHaveLength(1);
    expect(direct).toEqual([]);
  });

  test("in a private network is asked where that is allowed", async () => {
    const { seen, env } = egressThat(
      { status: 404, contentType: null, text: "" },
      { VALET_WEBHOOKS_ALLOW_PRIVATE: "true" },
    );
    expect((await refuseRepository({ repoUrl: "https://10.0.0.7/a.git" }, env))?.path).toBe("repoUrl");
    expect(seen).toHaveLength(1);
  });

  test.each([
    "git@git.example:a/b.git",
    "ssh://git@git.example/a.git",
    "file:///srv/a.git",
    "https://127.0.0.1/a.git",
    "https://0x7f.1/a.git",
    "https://10.0.0.7:8443/a.git",
    "https://[fd00::1]/a.git",
    "https://localhost/a.git",
    "https://git.internal/a.git",
    undefined,
  ])("%s is not looked at here", async (repoUrl) => {
    const seen = answerWith(() => new Response("", { status: 404 }));
    expect(await refuseRepository({ repoUrl }, WORKER)).toBeUndefined();
    expect(seen).toEqual([]);
  });
});

test("no session exists after a refusal", async () => {
  const token = await signIn();
  const body = { model: "groq/x", repoUrl: "https://git.example/a.git" };
  const response = await call("POST", "/api/sessions", { token, body });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ errors: [{ path: "model" }] });
  expect(await (await call("GET", "/api/sessions", { token })).json()).toEqual({ sessions: [] });
});
