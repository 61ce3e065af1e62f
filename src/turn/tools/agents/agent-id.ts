import { InvalidRequestError } from "../../../protocol/errors.ts";
import { parseThreadId, type ThreadId, uuidProblem } from "../../../protocol/ids.ts";

/** @throws InvalidRequestError with what Codex tells the model of an id that is none */
export function agentIdOf(text: string): ThreadId {
  try {
    return parseThreadId(text);
  } catch {
    throw new InvalidRequestError(`invalid agent id ${text}: Error(${kindOf(text)})`);
  }
}

/** The uuid crate's own notation. */
function kindOf(text: string): string {
  const problem = uuidProblem(text);
  switch (problem.kind) {
    case "character":
      return `ParseChar { character: '${problem.character}', index: ${problem.index} }`;
    case "simpleLength":
      return `ParseSimpleLength { len: ${problem.length} }`;
    case "groupCount":
      return `ParseGroupCount { count: ${problem.count} }`;
    case "groupLength":
      return `ParseGroupLength { group: ${problem.group}, len: ${problem.length}, index: ${problem.index} }`;
  }
}
