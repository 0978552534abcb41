import { devicesPart } from './hostile/devices.ts';
import { imagesPart } from './hostile/images.ts';
import { optionsPart } from './hostile/options.ts';
import { receivePart } from './hostile/receive.ts';
import { recordPart } from './hostile/record.ts';
import { recordingsPart } from './hostile/recordings.ts';
import { sendPart } from './hostile/send.ts';
import { connectionsPart } from './connections.ts';
import { filesPart } from './files/part.ts';
import { accessPart, rangesPart } from './hostile/ranges.ts';
import { sidecarsPart } from './hostile/sidecars.ts';
import { rejectedPart } from './hostile/rejected.ts';
import { killedMigrationsPart } from './killed-migrations.ts';
import type { Part } from './part.ts';

/** All parts, in the order of the table. */
export const PARTS: readonly Part[] = [
  receivePart,
  sendPart,
  recordPart,
  recordingsPart,
  imagesPart,
  devicesPart,
  sidecarsPart,
  rangesPart,
  accessPart,
  rejectedPart,
  optionsPart,
  connectionsPart,
  filesPart,
  killedMigrationsPart,
];
