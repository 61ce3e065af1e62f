/** State has one owner: no field of a class is written from another file, whatever interface it is seen through. */
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { suite, test } from "node:test";
import { type Node, SyntaxKind } from "typescript/unstable/ast";
import {
  isAssignmentOperator,
  isBinaryExpression,
  isDeleteExpression,
  isPostfixUnaryExpression,
  isPrefixUnaryExpression,
  isPropertyAccessExpression,
} from "typescript/unstable/ast/is";
import { API, type Project } from "typescript/unstable/sync";

const ROOT = join(import.meta.dirname, "../..");

/** A line's listener is set by whoever uses the line: that is the contract of the public port, for lines of others too. */
const BY_CONTRACT = "wire.listener of src/app-server/wire.ts";
const OURS = /^(?:src|machines)\//;

/** The member that the node writes: assigns to, counts up or down, or deletes. */
function writtenBy(node: Node): Node | undefined {
  if (isBinaryExpression(node)) return isAssignmentOperator(node.operatorToken.kind) ? node.left : undefined;
  if (isDeleteExpression(node)) return node.expression;
  const counts = isPostfixUnaryExpression(node) || isPrefixUnaryExpression(node);
  const isCounting =
    counts && (node.operator === SyntaxKind.PlusPlusToken || node.operator === SyntaxKind.MinusMinusToken);
  return isCounting ? node.operand : undefined;
}

/** All writes of members of others, as names that can be looked up. */
function writesIn(root: Node): Node[] {
  const found: Node[] = [];
  const visit = (node: Node): void => {
    const target = writtenBy(node);
    if (target !== undefined && isPropertyAccessExpression(target)) {
      if (target.expression.kind !== SyntaxKind.ThisKeyword) found.push(target.name);
    }
    node.forEachChild((child) => {
      visit(child);
      return undefined;
    });
  };
  visit(root);
  return found;
}

/** Where the field stands that a name means, if it is one of a class, or of an interface that classes implement. */
function fieldOf(project: Project, name: Node): string | undefined {
  const declaration = project.checker.getSymbolAtLocation(name)?.valueDeclaration?.resolve(project);
  if (declaration === undefined) return undefined;
  const isPort =
    declaration.kind === SyntaxKind.PropertySignature && declaration.parent.kind === SyntaxKind.InterfaceDeclaration;
  const isField =
    declaration.kind === SyntaxKind.PropertyDeclaration ||
    declaration.kind === SyntaxKind.SetAccessor ||
    declaration.kind === SyntaxKind.Parameter;
  return isField || isPort ? declaration.getSourceFile().fileName : undefined;
}

suite("fields", () => {
  test("no field of a class is written from another file", { timeout: 60_000 }, () => {
    const api = new API({ cwd: ROOT });
    try {
      const [project] = api.updateSnapshot({ openProjects: [join(ROOT, "tsconfig.json")] }).getProjects();
      assert.ok(project !== undefined);
      const files = project.program.getSourceFileNames().filter((name) => OURS.test(relative(ROOT, name)));
      assert.ok(files.length > 300);
      const wrong: string[] = [];
      for (const path of files) {
        const source = project.program.getSourceFile(path);
        assert.ok(source !== undefined);
        for (const name of writesIn(source)) {
          const owner = fieldOf(project, name);
          if (owner === undefined || owner === path || !OURS.test(relative(ROOT, owner))) continue;
          const field = `${name.parent.getText()} of ${relative(ROOT, owner)}`;
          const line = source.text.slice(0, name.getStart()).split("\n").length;
          if (field !== BY_CONTRACT) wrong.push(`${relative(ROOT, path)}:${line} ${field}`);
        }
      }
      assert.deepEqual(wrong, []);
    } finally {
      api.close();
    }
  });
});
