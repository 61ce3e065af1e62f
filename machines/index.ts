export {
  activeStates,
  type Chart,
  type ChartState,
  type ChartTransition,
  chartOf,
} from "./chart.ts";
export {
  type GroupContext,
  type GroupEmitted,
  type GroupEvent,
  type GroupInput,
  type GroupStrategy,
  groupMachine,
  type MemberEnd,
} from "./group.machine.ts";
export {
  type RestartContext,
  type RestartEmitted,
  type RestartEvent,
  type RestartInput,
  restartMachine,
} from "./restart.machine.ts";
export type {
  GroupMember,
  MemberChange,
  MemberKind,
  MemberRestart,
  MemberState,
  Roster,
  StopReason,
} from "./roster.ts";
export {
  type SupervisorContext,
  type SupervisorEvent,
  type SupervisorInput,
  type SupervisorSignal,
  supervisorMachine,
} from "./supervisor.machine.ts";
export {
  type QuestionAnswered,
  type Submission,
  type Task,
  type TaskBegun,
  type TaskKind,
  type ThreadContext,
  type ThreadMachineEvent,
  type ThreadSignal,
  type ThreadTag,
  threadMachine,
} from "./thread.machine.ts";
export {
  type Resumption,
  type SampleOutcome,
  type TurnAbortReason,
  type TurnContext,
  type TurnInput,
  type TurnMachineEvent,
  turnMachine,
} from "./turn.machine.ts";
