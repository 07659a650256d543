/**
 * What the SessionAgent tells a generation's first runner and nobody else, kept for that runner's successors in the same sandbox:
 * how to reach models, and what opens the repository. The file is encrypted with the runner's token, which a successor is given
 * and a snapshot does not hold.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ModelAccess, type ToRunnerOf } from "@valet/shared/protocol/runner-link";
import { z } from "zod";
import { SECRETS_FILE } from "../state/state-folder.ts";

const Kept = z.object({
  modelAccess: ModelAccess,
  repoUrl: z.string().optional(),
  credentials: z.object({ username: z.string(), password: z.string() }).optional(),
});
export type Kept = z.infer<typeof Kept>;

const [CIPHER, NONCE_BYTES, TAG_BYTES] = ["aes-256-gcm", 12, 16] as const;

export interface KeptSecretsOptions {
  readonly folder: string;
  readonly token: string;
  /** Whose they are: others' open nothing. */
  readonly sessionId: string;
  readonly generation: number;
}

export class KeptSecrets {
  readonly #path: string;
  readonly #key: Buffer;
  readonly #owner: Buffer;

  constructor({ folder, token, sessionId, generation }: KeptSecretsOptions) {
    this.#path = join(folder, SECRETS_FILE);
    this.#key = Buffer.from(hkdfSync("sha256", token, "", "valet runner secrets", 32));
    this.#owner = Buffer.from(`${sessionId}/${generation}`);
  }

  /** Whole or not at all. @throws what the file system says */
  keep(
    modelAccess: ModelAccess,
    { repoUrl, credentials }: Pick<ToRunnerOf<"repo-config">, "repoUrl" | "credentials">,
  ): void {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce).setAAD(this.#owner);
    const plain = JSON.stringify({ modelAccess, repoUrl, credentials } satisfies Kept);
    const body = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()]);
    writeFileSync(`${this.#path}.new`, Buffer.concat([nonce, cipher.getAuthTag(), body]), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
  }

  /** What this sandbox's runner before kept; `undefined` where it kept nothing, or nothing that can be read. */
  read(): Kept | undefined {
    try {
      const bytes = readFileSync(this.#path);
      const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, NONCE_BYTES)).setAAD(this.#owner);
      decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      const body = bytes.subarray(NONCE_BYTES + TAG_BYTES);
      return Kept.parse(JSON.parse(Buffer.concat([decipher.update(body), decipher.final()]).toString("utf8")));
    } catch {
      return undefined;
    }
  }

  /** The sandbox is being stopped in order: there is no successor. */
  forget(): void {
    rmSync(this.#path, { force: true });
  }
}
