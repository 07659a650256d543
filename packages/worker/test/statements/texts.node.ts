/**
 * Finds the SQL statements in a source file. Each argument of `sql.exec(…)` and `db.prepare(…)` is evaluated, as far as its texts
 * follow from the file: literals, templates, constants, both branches of a condition, parameters with the arguments of every call in
 * the file, and functions that only return a text. What is left has to be named in `SUBSTITUTES`.
 */
import { parseSync } from "@swc/core";
import type { FoundStatement } from "./plans.ts";

interface Node {
  readonly type: string;
  readonly span: { readonly start: number; readonly end: number };
  readonly [key: string]: unknown;
}

/** A function, or the module. */
interface Scope {
  readonly parent: Scope | undefined;
  /** The name by which the file calls it. */
  readonly name: string | undefined;
  readonly params: readonly Node[];
  readonly constants: Map<string, Node>;
  readonly functions: Map<string, { readonly node: Node; readonly scope: Scope }>;
}

interface Call {
  readonly args: readonly Node[];
  readonly scope: Scope;
}

/** The values of parameters. */
type Values = ReadonlyMap<string, string>;

/** An expression whose texts do not follow from the file. */
export class UnknownTextError extends Error {
  override readonly name = "UnknownTextError";
}

const METHODS: readonly unknown[] = ["exec", "prepare"];
const FUNCTIONS = ["ArrowFunctionExpression", "FunctionExpression", "FunctionDeclaration"];
const WRAPPERS: Readonly<Record<string, string>> = {
  ParenthesisExpression: "expression",
  TsAsExpression: "expression",
  TsConstAssertion: "expression",
  TsNonNullExpression: "expression",
  TsSatisfiesExpression: "expression",
};
/** Statements that change the schema; they run once for each database. */
const SCHEMA_CHANGE = /^\s*(?:CREATE|ALTER|DROP)\b/;
/** Encloses what stands for a text that cannot be evaluated. */
const MARK = "\u{1}";
const MARKED = new RegExp(`${MARK}[^${MARK}]*${MARK}`, "g");

export class SourceStatements {
  readonly #file: string;
  readonly #bytes: Buffer;
  readonly #base: number;
  readonly #substitutes: ReadonlyMap<string, string>;
  readonly #module: Scope;
  readonly #calls = new Map<string, Call[]>();
  readonly #statements: (Call & { readonly by: "exec" | "prepare"; readonly object: Node })[] = [];

  /**
   * @param substitutes texts for expressions that cannot be evaluated, by the expression
   * @throws Error if the file uses `exec` or `prepare` in another way than to call it
   */
  constructor(file: string, source: string, substitutes: Readonly<Record<string, string>>) {
    this.#file = file;
    // The parser counts from the first token, in bytes.
    const text = `;${source}`;
    const module = parseSync(text, { syntax: "typescript" }) as unknown as Node;
    this.#bytes = Buffer.from(text);
    this.#base = module.span.start;
    this.#substitutes = new Map(Object.entries(substitutes));
    this.#module = scopeOf(undefined, undefined, []);
    this.#visit(module.body, this.#module);
  }

  /** Returns the statements of the file. @throws UnknownTextError for one that cannot be evaluated */
  all(): FoundStatement[] {
    const marked = this.#statements.flatMap(({ args: [query], scope, by, object }) => {
      if (by === "exec" && isPattern(object, scope)) return [];
      if (query === undefined) throw new UnknownTextError(`${this.#file}: ${by} without a statement`);
      const texts = this.#valuesOf(scope).flatMap((values) => this.#texts(query, scope, values));
      return [...new Set(texts)].map((text) => ({ by, text: text.replaceAll(/\s+/g, " ").trim() }));
    });
    const found = marked.map(({ by, text }) => ({
      file: this.#file,
      by,
      text: text.replaceAll(MARK, ""),
      pattern: text.replaceAll(MARKED, "…"),
    }));
    return found.filter(({ text }) => !SCHEMA_CHANGE.test(text));
  }

  #sourceOf({ span }: Node): string {
    return this.#bytes.subarray(span.start - this.#base, span.end - this.#base).toString();
  }

  #visit(node: unknown, scope: Scope, name?: string): void {
    if (typeof node !== "object" || node === null) return;
    // Elements of arrays and arguments are wrapped in objects without a type.
    if (!isNode(node)) {
      for (const each of Object.values(node)) this.#visit(each, scope);
      return;
    }
    if (FUNCTIONS.includes(node.type)) {
      const named = (node.identifier as { value?: string } | null | undefined)?.value ?? name;
      return this.#visitFunction(node, scope, named);
    }
    if (node.type === "ClassMethod" || node.type === "PrivateMethod") {
      const { value } = node.key as unknown as { value: string };
      return this.#visitFunction(node.function as Node, scope, value);
    }
    if (node.type === "VariableDeclarator" && isNode(node.init) && (node.id as Node).type === "Identifier") {
      const { value } = node.id as unknown as { value: string };
      scope.constants.set(value, node.init);
      return this.#visit(node.init, scope, value);
    }
    if (node.type === "CallExpression") return this.#visitCall(node, scope);
    if (METHODS.includes(nameOfAccess(node))) this.#refuse(node);
    for (const [key, value] of Object.entries(node)) if (key !== "span") this.#visit(value, scope);
  }

  #visitFunction(node: Node, parent: Scope, name: string | undefined): void {
    const params = (node.params as Node[]).map((param) => (param.type === "Parameter" ? (param.pat as Node) : param));
    const scope = scopeOf(parent, name, params);
    if (name !== undefined) parent.functions.set(name, { node, scope });
    this.#visit(params, scope);
    this.#visit(node.body, scope);
  }

  #visitCall(node: Node, scope: Scope): void {
    const callee = node.callee as Node;
    const args = (node.arguments as { expression: Node }[]).map(({ expression }) => expression);
    this.#visit(args, scope);
    if (callee.type === "Identifier") this.#addCall(callee.value as string, { args, scope });
    if (callee.type !== "MemberExpression") return this.#visit(callee, scope);
    const object = callee.object as Node;
    const method = (callee.property as { value?: unknown }).value;
    this.#visit(object, scope);
    if (object.type === "ThisExpression") this.#addCall(method as string, { args, scope });
    if (method === undefined && METHODS.includes(nameOfAccess(callee))) this.#refuse(callee);
    if (METHODS.includes(method)) this.#statements.push({ args, scope, by: method as "exec" | "prepare", object });
    else this.#visit(callee.property, scope);
  }

  #addCall(name: string, call: Call): void {
    this.#calls.set(name, [...(this.#calls.get(name) ?? []), call]);
  }

  /** Returns the values that the parameters of a function may have together, by the calls of it in this file. */
  #valuesOf(scope: Scope | undefined, callers: readonly Scope[] = []): Values[] {
    if (scope === undefined) return [new Map()];
    const outer = this.#valuesOf(scope.parent, callers);
    const calls = (scope.name === undefined ? undefined : this.#calls.get(scope.name)) ?? [];
    const params = scope.params.map(parameterOf);
    if (calls.length === 0 || params.every((param) => param === undefined) || callers.includes(scope)) return outer;
    return calls.flatMap((call) => {
      return this.#valuesOf(call.scope, [...callers, scope]).flatMap((given) => {
        let all: Values[] = outer;
        for (const [index, param] of params.entries()) {
          const value = call.args[index] ?? param?.fallback;
          if (param === undefined || value === undefined) continue;
          const texts = this.#textsIfKnown(value, call.scope, given);
          if (texts !== undefined)
            all = all.flatMap((values) => texts.map((text) => new Map(values).set(param.name, text)));
        }
        return all;
      });
    });
  }

  #textsIfKnown(node: Node, scope: Scope, values: Values): readonly string[] | undefined {
    try {
      return this.#texts(node, scope, values);
    } catch (error) {
      if (error instanceof UnknownTextError) return undefined;
      throw error;
    }
  }

  #texts(node: Node, scope: Scope, values: Values): readonly string[] {
    const substitute = this.#substitutes.get(this.#sourceOf(node));
    if (substitute !== undefined) return [`${MARK}${substitute}${MARK}`];
    const inner = WRAPPERS[node.type];
    if (inner !== undefined) return this.#texts(node[inner] as Node, scope, values);
    switch (node.type) {
      case "StringLiteral":
      case "NumericLiteral":
        return [String(node.value)];
      case "TemplateLiteral":
        return this.#textsOfTemplate(node, scope, values);
      case "ConditionalExpression":
        return [node.consequent, node.alternate].flatMap((each) => this.#texts(each as Node, scope, values));
      case "BinaryExpression":
        return this.#textsOfOperation(node, scope, values);
      case "Identifier":
        return this.#textsOfName(node, scope, values);
      case "CallExpression":
        return this.#textsOfCall(node, scope, values);
      default:
        return this.#fail(node);
    }
  }

  #textsOfTemplate(node: Node, scope: Scope, values: Values): readonly string[] {
    const [first = "", ...rest] = (node.quasis as { cooked: string }[]).map(({ cooked }) => cooked);
    if (SCHEMA_CHANGE.test(first)) return [];
    let texts = [first];
    for (const [index, expression] of (node.expressions as Node[]).entries()) {
      const parts = this.#texts(expression, scope, values);
      texts = texts.flatMap((text) => parts.map((part) => text + part + (rest[index] ?? "")));
    }
    return texts;
  }

  #textsOfOperation(node: Node, scope: Scope, values: Values): readonly string[] {
    const [left, right] = [node.left, node.right].map((side) => this.#texts(side as Node, scope, values));
    return (left ?? []).flatMap((a) =>
      (right ?? []).map((b) => {
        if (node.operator === "+" && !/^\d+$/.test(a + b)) return a + b;
        if (node.operator === "*") return String(Number(a) * Number(b));
        return this.#fail(node);
      }),
    );
  }

  #textsOfName(node: Node, scope: Scope, values: Values): readonly string[] {
    const name = node.value as string;
    const value = values.get(name);
    if (value !== undefined) return [value];
    for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
      const constant = at.constants.get(name);
      if (constant !== undefined) return this.#texts(constant, at, values);
    }
    return this.#fail(node);
  }

  /** Evaluates a function of the file that only returns an expression. */
  #textsOfCall(node: Node, scope: Scope, values: Values): readonly string[] {
    const callee = node.callee as Node;
    if (callee.type !== "Identifier") return this.#fail(node);
    for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
      const called = at.functions.get(callee.value as string);
      const body = called?.node.body as Node | undefined;
      if (called === undefined || body === undefined || body.type === "FunctionBody") continue;
      let all: Values[] = [values];
      for (const [index, param] of called.scope.params.map(parameterOf).entries()) {
        const value = (node.arguments as { expression: Node }[])[index]?.expression ?? param?.fallback;
        if (param === undefined || value === undefined) return this.#fail(node);
        const texts = this.#texts(value, scope, values);
        all = all.flatMap((each) => texts.map((text) => new Map(each).set(param.name, text)));
      }
      return all.flatMap((each) => this.#texts(body, called.scope, each));
    }
    return this.#fail(node);
  }

  /** @throws UnknownTextError since the file reads `exec` or `prepare` without a plain call */
  #refuse(node: Node): never {
    const access = isNode(node.key) ? node.key : node;
    throw new UnknownTextError(
      `${this.#file}: ${this.#sourceOf(access)} is not called, so its statements cannot be found`,
    );
  }

  #fail(node: Node): never {
    throw new UnknownTextError(`${this.#file}: the texts of ${this.#sourceOf(node)} cannot be found`);
  }
}

function scopeOf(parent: Scope | undefined, name: string | undefined, params: readonly Node[]): Scope {
  return { parent, name, params, constants: new Map(), functions: new Map() };
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

/** Returns which property an expression or a pattern reads without a call. */
function nameOfAccess({ type, property, key }: Node): unknown {
  if (type === "AssignmentPatternProperty" || type === "KeyValuePatternProperty") return (key as Node).value;
  if (type !== "MemberExpression") return undefined;
  const { value, expression } = property as Node;
  return isNode(expression) ? expression.value : value;
}

/** Returns whether an expression is a regular expression, or the name of one. */
function isPattern(node: Node, scope: Scope): boolean {
  if (node.type === "RegExpLiteral") return true;
  if (node.type !== "Identifier") return false;
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const constant = at.constants.get(node.value as string);
    if (constant !== undefined) return constant.type === "RegExpLiteral";
  }
  return false;
}

/** Returns the name of a parameter, and its default; `undefined` for one that is taken apart. */
function parameterOf(param: Node): { readonly name: string; readonly fallback?: Node } | undefined {
  if (param.type === "Identifier") return { name: param.value as string };
  if (param.type !== "AssignmentPattern" || (param.left as Node).type !== "Identifier") return undefined;
  return { name: (param.left as Node).value as string, fallback: param.right as Node };
}
