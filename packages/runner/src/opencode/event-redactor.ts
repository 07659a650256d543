/**
 * Redacts secrets from OpenCode's events when they are read, before they are cut, stored, shown or recorded. Of a growing text,
 * an end that could be the beginning of a secret is held back.
 */
import type { SecretValues, StreamRedactor } from "../secrets/secret-values.ts";

/** The maximum number of growing parts. Of more, the oldest is forgotten. */
const MAX_OPEN = 1_000;

type Json = Record<string, unknown>;

export class EventRedactor {
  readonly #secrets: SecretValues;
  /** By part and field. */
  readonly #open = new Map<string, StreamRedactor>();

  constructor(secrets: SecretValues) {
    this.#secrets = secrets;
  }

  /** Returns an event without secrets. @param event the JSON that OpenCode sent */
  read(event: unknown): unknown {
    const { type, properties } = objectOf(event);
    const { partID, field, delta, part } = objectOf(properties);
    if (type === "message.part.delta" && typeof delta === "string") {
      const stream = this.#streamOf(`${partID}/${field}`);
      return { ...this.#clean(event), properties: { ...this.#clean(properties), delta: stream.push(delta) } };
    }
    const { id, text, time } = objectOf(part);
    if (type !== "message.part.updated" || typeof text !== "string") return this.#clean(event);
    const key = `${id}/text`;
    // An update contains the whole text so far.
    this.#open.delete(key);
    if (objectOf(time).end !== undefined) return this.#clean(event);
    const cleanPart = { ...this.#clean(part), text: this.#streamOf(key).push(text) };
    return { ...this.#clean(event), properties: { ...this.#clean(properties), part: cleanPart } };
  }

  #clean(value: unknown): Json {
    return this.#secrets.redactAll(value) as Json;
  }

  #streamOf(key: string): StreamRedactor {
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const stream = this.#secrets.stream();
    this.#open.set(key, stream);
    const [oldest] = this.#open.keys();
    if (this.#open.size > MAX_OPEN && oldest !== undefined) this.#open.delete(oldest);
    return stream;
  }
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null ? (value as Json) : {};
}
