/** Bundles the real Worker, from a copy of its packages that the tests may change. */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { WORKER_DIR, workerModule } from "./worker-bundle.ts";

const PACKAGES = dirname(WORKER_DIR);

/** Returns the Worker's package in a copy. */
function copyPackages(): string {
  const root = mkdtempSync(join(tmpdir(), "valet-bundle-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const name of ["worker", "shared"]) {
    const copy = join(root, "packages", name);
    mkdirSync(join(copy, "node_modules"), { recursive: true });
    cpSync(join(PACKAGES, name, "src"), join(copy, "src"), { recursive: true });
    cpSync(join(PACKAGES, name, "package.json"), join(copy, "package.json"));
    for (const installed of readdirSync(join(PACKAGES, name, "node_modules"))) {
      // What bundles are kept of the original is not copied.
      if (installed === ".cache") continue;
      symlinkSync(join(PACKAGES, name, "node_modules", installed), join(copy, "node_modules", installed));
    }
    // The copy's own: else its Worker would have the original's.
    if (name === "worker") {
      rmSync(join(copy, "node_modules/@valet"));
      mkdirSync(join(copy, "node_modules/@valet"));
      symlinkSync(join(root, "packages/shared"), join(copy, "node_modules/@valet/shared"));
    }
  }
  for (const name of ["tsconfig.base.json", "pnpm-lock.yaml"]) cpSync(join(PACKAGES, "..", name), join(root, name));
  return join(root, "packages/worker");
}

const kept = (worker: string) => {
  const folder = join(worker, "node_modules/.cache/valet-worker");
  return existsSync(folder) ? readdirSync(folder) : [];
};

test("the module is made once for the same sources, and is read from then on; a change of any package makes another", async () => {
  const worker = copyPackages();
  // Two systems that start at once.
  const [module, same] = await Promise.all([workerModule(worker), workerModule(worker)]);
  expect(module).toContain("SessionAgent");
  expect(same).toBe(module);
  const [name, ...others] = kept(worker);
  expect([name, others]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/), []]);
  writeFileSync(join(worker, "node_modules/.cache/valet-worker", name ?? "", "index.js"), "kept");
  expect(await workerModule(worker)).toBe("kept");
  appendFileSync(join(worker, "../../pnpm-lock.yaml"), "# another version of something that is installed\n");
  expect(await workerModule(worker)).toContain("SessionAgent");
  for (const file of ["worker/src/index.ts", "shared/src/limits.ts"]) {
    appendFileSync(join(worker, "..", file), `\nglobalThis.changed = "change of ${file}";\n`);
    expect(await workerModule(worker)).toContain(`change of ${file}`);
  }
  expect(kept(worker)).toHaveLength(1);
});

test("sources with an error are reported, and leave nothing", async () => {
  const worker = copyPackages();
  appendFileSync(join(worker, "src/index.ts"), "\nconst = no code\n");
  await expect(workerModule(worker)).rejects.toThrow(/index\.ts/);
  expect(kept(worker)).toEqual([]);
});

test("the sources are bundled where the module cannot be kept", async () => {
  const worker = copyPackages();
  writeFileSync(join(worker, "node_modules/.cache"), "");
  expect(await workerModule(worker)).toContain("SessionAgent");
});
