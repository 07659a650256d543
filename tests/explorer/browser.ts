/** The browser of the journeys: Debian's Chromium, with a fresh profile. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/**
 * The pop-ups of the address bar are pages, too, which each window would have: a second of CPU time for what nobody sees. The others are
 * those that Playwright disables: of two lists Chromium reads the last.
 */
const DISABLED_FEATURES = [
  "WebUIOmniboxPopup",
  "WebUIOmniboxAimPopup",
  "AimEnabled",
  "AvoidCorsURLLoaderRestartOnRedirect",
  "AvoidUnnecessaryBeforeUnloadCheckSync",
  "DestroyProfileOnBrowserClose",
  "HttpsFirstBalancedModeAutoEnable",
  "HttpsUpgrades",
  "LensOverlay",
  "MediaRouter",
  "NetworkTimeServiceQuerying",
  "OptimizationHints",
  "PaintHolding",
  "PreconnectToSearch",
  "ThirdPartyStoragePartitioning",
];

/** Nothing of the browser's own goes over the network, and nothing asks the user. */
const FLAGS = [
  `--disable-features=${DISABLED_FEATURES}`,
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Returns the path of the browser. @throws Error that says what to install */
export function findBrowser(path = process.env.PATH ?? ""): string {
  const folders = [...path.split(delimiter), "/usr/bin"];
  const found = folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find((each) => existsSync(each));
  if (found !== undefined) return found;
  throw new Error(
    "The tests of the page need Chromium, and none was found on PATH. Install it: `sudo apt-get install chromium` on Debian and Ubuntu; `.ci/run` does that, too.",
  );
}

/** Starts the browser. Playwright makes a profile for it, and removes it with it. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: findBrowser(), headless: true, args: FLAGS });
}
