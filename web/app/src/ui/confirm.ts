import { shallowRef } from 'vue';

// `if (await confirm({...}))`: asks before something that cannot be taken back.
export interface Question {
  title: string;
  text?: string;
  yes: string;
  danger?: boolean;
}
export const question = shallowRef<(Question & { answer: (yes: boolean) => void }) | null>(null);

export function confirm(asked: Question): Promise<boolean> {
  question.value?.answer(false);
  return new Promise((resolve) => {
    question.value = {
      ...asked,
      answer(yes) {
        question.value = null;
        resolve(yes);
      },
    };
  });
}
