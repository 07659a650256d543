/**
 * One system and one browser for the journeys of a file: `valet up` with a state of its own, and pages that are watched for what must
 * never happen. A file calls {@link startExplorer} once, in `beforeAll`, and `close()` in `afterAll`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import type { ApiClient } from "../../packages/cli/src/api-client.ts";
import { signInUrl } from "../../packages/shared/src/protocol/page-sessions.ts";
import { endUp, startUp } from "../valet-up.ts";
import { launchBrowser } from "./browser.ts";

/** For each step of a journey: shorter than that of a test, so that an error names the step. */
const TIMEOUT_MS = 45_000;

/** What a page has done that no page may do. */
export interface Misdeeds {
  /** Violations of the Content Security Policy, Trusted Types included. */
  readonly policy: string[];
  /** Errors on the console, and those that no code caught; without failed requests, which a journey may provoke. */
  readonly errors: string[];
  /** Requests to other origins than that of `valet up`. */
  readonly foreign: string[];
}

export interface WatchedPage {
  readonly page: Page;
  readonly misdeeds: Misdeeds;
}

/** A system that serves the page. */
export interface RunningSystem {
  /** Of its process; absent if it is this one. */
  readonly pid?: number;
  readonly url: string;
  readonly token: string;
  readonly api: ApiClient;
  stop(): Promise<unknown>;
}

export interface Explorer {
  readonly up: RunningSystem;
  /** Where its data is. */
  readonly stateDir: string;
  readonly browser: Browser;
  /** Opens a page in a browser profile of its own, not signed in, for a reader who wishes less motion. It is closed with the explorer. */
  open(options?: BrowserContextOptions): Promise<WatchedPage>;
  /** Opens a page that is signed in, at a path: the inbox if omitted. */
  openSignedIn(path?: string, options?: BrowserContextOptions): Promise<WatchedPage>;
  /** Returns a new sign-in link. */
  link(): Promise<string>;
  /** Returns what all pages have done so far that no page may do. */
  misdeeds(): Misdeeds;
  close(): Promise<void>;
}

/** @param variables for `valet up`, beside those of this process */
export function startExplorer(variables: Readonly<Record<string, string>> = {}): Promise<Explorer> {
  return explore(async (stateDir) => {
    const up = await startUp(stateDir, { env: { ...process.env, ...variables } });
    return { ...up, stop: () => endUp(up) };
  });
}

/** Starts a browser beside a system. @param start gets an empty folder for its state */
export async function explore(start: (stateDir: string) => Promise<RunningSystem>): Promise<Explorer> {
  const stateDir = mkdtempSync(join(tmpdir(), "valet-explorer-"));
  const [up, browser] = await Promise.all([start(stateDir), launchBrowser()]);
  const contexts: BrowserContext[] = [];
  const all: Misdeeds = { policy: [], errors: [], foreign: [] };
  const link = async () => signInUrl(up.url, (await up.api.createPageTicket()).ticket);

  async function open(options?: BrowserContextOptions): Promise<WatchedPage> {
    // What pulses is drawn sixty times a second, on each page that is open.
    const context = await browser.newContext({ reducedMotion: "reduce", ...options });
    context.setDefaultTimeout(TIMEOUT_MS);
    contexts.push(context);
    const page = await context.newPage();
    return { page, misdeeds: await watch(page, up.url, all) };
  }

  return {
    up,
    stateDir,
    browser,
    open,
    link,
    openSignedIn: async (path = "/", options) => {
      const watched = await open(options);
      await signIn(watched.page, await link());
      if (path !== "/") await watched.page.goto(up.url + path);
      return watched;
    },
    misdeeds: () => all,
    close: async () => {
      await Promise.all(contexts.map((context) => context.close()));
      await browser.close();
      await up.stop();
      rmSync(stateDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

/** Opens a sign-in link, and resolves when the page has left the sign-in. */
export async function signIn(page: Page, link: string): Promise<void> {
  await page.goto(link);
  await page.waitForURL((url) => url.pathname !== "/sign-in");
}

/** Records what a page does that it may not do. @param all receives it, too */
async function watch(page: Page, origin: string, all: Misdeeds): Promise<Misdeeds> {
  const own: Misdeeds = { policy: [], errors: [], foreign: [] };
  const note = (kind: keyof Misdeeds, text: string) => {
    own[kind].push(text);
    all[kind].push(text);
  };
  await page.exposeFunction("valetPolicyViolation", (text: string) => note("policy", text));
  await page.addInitScript(() => {
    addEventListener(
      "securitypolicyviolation",
      ({ effectiveDirective, blockedURI, sourceFile, lineNumber, sample }) => {
        const where = `${sourceFile}:${lineNumber}`;
        const { valetPolicyViolation } = window as unknown as { valetPolicyViolation(text: string): void };
        valetPolicyViolation(`${effectiveDirective} ${blockedURI} at ${where} ${sample}`);
      },
    );
  });
  page.on("pageerror", (error) => note("errors", error.stack ?? error.message));
  page.on("console", (message) => {
    const isAnswer = /^(?:Failed to load resource|WebSocket connection to \S+ failed: HTTP)/.test(message.text());
    if (message.type() === "error" && !isAnswer) note("errors", message.text());
  });
  const checkOrigin = (url: string) => {
    const { protocol, host } = new URL(url);
    const isOwn = host === new URL(origin).host || protocol === "data:" || protocol === "blob:";
    if (!isOwn) note("foreign", url);
  };
  page.on("request", (request) => checkOrigin(request.url()));
  page.on("websocket", (socket) => checkOrigin(socket.url()));
  return own;
}
