/** Small changes to a source file, each of which a test should notice. Found in the syntax tree, never in the text. */
import { parseSync, Visitor } from "oxc-parser";

export type Mutant = {
  readonly path: string;
  readonly line: number;
  /** The line that it is in, as it was. */
  readonly code: string;
  readonly start: number;
  readonly end: number;
  readonly before: string;
  readonly after: string;
};

const OPERATORS: Readonly<Record<string, string>> = {
  "<": "<=",
  "<=": "<",
  ">": ">=",
  ">=": ">",
  "===": "!==",
  "!==": "===",
  "&&": "||",
  "||": "&&",
  "+": "-",
  "-": "+",
  "+=": "-=",
  "-=": "+=",
};

/** What a state machine does is said by these: each one can be forgotten. */
const OF_MACHINES: ReadonlySet<string> = new Set(["actions", "guard", "target", "tags", "entry", "reenter"]);

/** What comes out the same whatever the order of what goes in. */
const OF_ANY_ORDER = /^Math\.(?:min|max)$/;

type Place = { readonly start: number; readonly end: number };

/** All mutants of a file, in the order of the text. */
export function mutantsOf(path: string, text: string): Mutant[] {
  const found: Mutant[] = [];
  const codeOf = ({ start, end }: Place): string => text.slice(start, end);
  const change = ({ start, end }: Place, after: string): void => {
    const line = text.slice(0, start).split("\n").length;
    const code = text.split("\n")[line - 1]?.trim() ?? "";
    found.push({ path, line, code, start, end, before: text.slice(start, end), after });
  };
  const operator = (node: { left: Place; right: Place; operator: string }): void => {
    const after = OPERATORS[node.operator];
    if (after === undefined) return;
    const start = text.indexOf(node.operator, node.left.end);
    const isText = /["`]/.test(codeOf(node.left) + codeOf(node.right));
    // Texts are put together with a plus as well: a minus would not even run.
    if (start > node.right.start || (isText && node.operator.startsWith("+"))) return;
    change({ start, end: start + node.operator.length }, after);
  };
  /** A type's words are gone when the program runs. */
  const types: Place[] = [];
  const negate = (test: Place): void => change(test, `!(${codeOf(test)})`);
  new Visitor({
    BinaryExpression: operator,
    LogicalExpression: operator,
    AssignmentExpression: operator,
    Literal: (node) => {
      if (node.value === true || node.value === false) change(node, String(!node.value));
    },
    IfStatement: ({ test }) => negate(test),
    ConditionalExpression: ({ test }) => negate(test),
    // A loop that never ends only costs time: the one that never begins is the one to look at.
    WhileStatement: ({ test }) => change(test, "false"),
    ExpressionStatement: (node) => {
      const isSuper = node.expression.type === "CallExpression" && node.expression.callee.type === "Super";
      if (!isSuper && node.expression.type !== "Literal") change(node, ";");
    },
    Property: ({ key, value, start, end }) => {
      if (!path.startsWith("machines/") || key.type !== "Identifier" || !OF_MACHINES.has(key.name)) return;
      const named = value.type === "ArrayExpression" ? value.elements : [];
      if (value.type === "ObjectExpression" && key.name === "actions") return;
      if (named.length < 2) change({ start, end }, "...{}");
      for (const element of named.length < 2 ? [] : named) if (element !== null) change(element, "...[]");
    },
    TSLiteralType: (node) => void types.push(node),
    CallExpression: ({ callee, arguments: [first, second] }) => {
      if (first === undefined || second === undefined || OF_ANY_ORDER.test(codeOf(callee))) return;
      if (first.type === "SpreadElement" || second.type === "SpreadElement") return;
      const between = text.slice(first.end, second.start);
      change({ start: first.start, end: second.end }, codeOf(second) + between + codeOf(first));
    },
  }).visit(parseSync(path, text).program);
  const isType = ({ start, end }: Mutant) => types.some((type) => type.start <= start && end <= type.end);
  return found
    .filter((mutant) => mutant.before !== mutant.after && !isType(mutant))
    .toSorted((a, b) => a.start - b.start);
}
