/** Greets a person by name; someone without a name is a stranger. */
export function greet(name) {
  return `Hello ${name}`;
}
