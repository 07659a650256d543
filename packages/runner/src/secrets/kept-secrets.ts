/**
 * Keeps the secrets that the SessionAgent sends only to the first runner of a generation, for that runner's successors in the
 * same sandbox: the keys of models and the repository's credentials. The file is encrypted with the runner's token, which a
 * successor receives and a snapshot does not contain.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ModelAccess } from "@valet/shared/protocol/model-access";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
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
  /** The session and generation that own the secrets. No other can decrypt them. */
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

  /** Stores the secrets atomically. @throws errors of the file system */
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

  /** Returns the secrets that an earlier runner of this sandbox kept; `undefined` if there are none or they cannot be read. */
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

  /** Removes the secrets, when the sandbox is stopped and there will be no successor. */
  forget(): void {
    rmSync(this.#path, { force: true });
  }
}
