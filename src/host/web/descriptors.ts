import type * as node from '../node/descriptors.ts';
import { lacking } from './lacking.ts';

export const openDescriptor: typeof node.openDescriptor = () => lacking('descriptors');

export const descriptorOutput: typeof node.descriptorOutput = () => undefined;
