/** Named character references of Markdown and HTML by a table. Pure. */
import { characterEntities } from "character-entities";

/**
 * Takes the place of the package `decode-named-character-reference` in the page: see `vite.config.ts`.
 * @param name without `&` and `;` @returns the characters that it stands for; `false` for an unknown name
 */
export function decodeNamedCharacterReference(name: string): string | false {
  return Object.hasOwn(characterEntities, name) ? (characterEntities[name] ?? false) : false;
}
