/*
 * The multi-cell commit of src/stock/mcas/, as a model of its drivers: does every schedule end?
 *
 * Two owners with an operation of two lines each, and buyers on single cells. One atomic access a
 * step. See README.md for what is checked, how to run it, and what is left out.
 */

#ifndef SAME_CELLS
#define FIRST_CELL(op) (op)        /* operation 0: cells 0 and 1; operation 1: cells 1 and 2 */
#else
#define FIRST_CELL(op) 0           /* both: cells 0 and 1 */
#endif
#ifndef BUYER_CELL
#define BUYER_CELL 0
#endif
#ifndef START
#define START 1                    /* units in each cell */
#endif

#define OPS     2
#define LINES   2
#define CELLS   3
#define THREADS 3
#define DEPTH   3                  /* own work, and two operations helped on the way */

/* A cell holds its count, or MARK plus who put the mark there and for which operation. */
#define MARK             16
#define MARK_OF(op, who) (MARK + (op) * THREADS + (who))
#define IS_MARK(word)    ((word) >= MARK)
#define OP_OF(word)      (((word) - MARK) / THREADS)
#define WHO_OF(word)     (((word) - MARK) % THREADS)

#define UNDECIDED 0
#define REFUSED   1
#define DECIDED   2
#define DONE      3
#define IS_FINAL(status) ((status) == REFUSED || (status) == DONE)

#define CELL(op, line)      (FIRST_CELL(op) + (line))
#define LINE(op, line)      ((op) * LINES + (line))
#define NOTE(op, who, line) (((op) * THREADS + (who)) * LINES + (line))

byte cell[CELLS] = START;
byte status[OPS];
byte drivers[OPS] = 1;
byte winner[OPS * LINES];                  /* 0: not claimed */
byte replaced[OPS * THREADS * LINES];
byte announced[OPS];                       /* 0, or 1 once the record is queued */
#ifdef ABORT
byte aborted[OPS];                         /* by somebody who met it */
#endif
byte bought;
byte finished;                             /* owners that are through */
byte ended;                                /* threads that are through */

/* What a mark means: every operation takes one unit of each of its cells. */
#define MEANS(op, who, line) \
    (replaced[NOTE(op, who, line)] - \
        ((status[op] == DONE && winner[LINE(op, line)] == MARK_OF(op, who)) -> 1 : 0))

/*
 * A thread: `own` is its operation, or OPS for a buyer. What it drives stands on a stack, for it may
 * be led from one operation to the next.
 */
proctype thread(byte me; byte own) {
    byte op[DEPTH];                 /* what is driven at each depth */
    byte at[DEPTH];                 /* its next line */
    byte top, word, other, line, here;

    if
    :: own < OPS -> op[0] = own
    :: else -> goto buy
    fi;

drive:
    atomic {
        word = 0; here = 0; other = 0; line = 0;                   /* scratch: nothing to tell apart */
        if
        :: at[top] == LINES -> goto decide
        :: at[top] < LINES && winner[LINE(op[top], at[top])] != 0 -> at[top]++; goto drive
        :: else
        fi
    };
    atomic { here = CELL(op[top], at[top]); word = cell[here] };   /* look at the cell, */
    atomic {                                                       /* then at the status */
        if
        :: status[op[top]] != UNDECIDED -> goto reveal
        :: else
        fi;
        if
        :: IS_MARK(word) && OP_OF(word) == op[top] -> goto claim
        :: IS_MARK(word) && OP_OF(word) != op[top] -> goto settle
        :: else
        fi
    };
    if
    :: word == 0 ->
        atomic {
            if
            :: status[op[top]] == UNDECIDED -> status[op[top]] = REFUSED
            :: else
            fi;
            goto reveal
        }
    :: else ->
        atomic {
            /* the note is read only through the mark, so that both may be one step */
            if
            :: cell[here] == word ->
                replaced[NOTE(op[top], me, at[top])] = word;
                cell[here] = MARK_OF(op[top], me);
                word = MARK_OF(op[top], me)
            :: else -> goto drive
            fi
        }
    fi;

claim:
    atomic {
        if
        :: winner[LINE(op[top], at[top])] == 0 ->
            winner[LINE(op[top], at[top])] = word;
            goto drive
        :: winner[LINE(op[top], at[top])] == word -> goto drive
        :: else
        fi
    };
    /* another mark counts: if this is one's own, it came too late */
    atomic {
        if
        :: WHO_OF(word) == me && cell[here] == word ->
            cell[here] = replaced[NOTE(op[top], me, at[top])]
        :: else
        fi
    };
    goto drive;

decide:
    atomic {
        if
        :: status[op[top]] == UNDECIDED -> status[op[top]] = DECIDED
        :: else
        fi
    };

reveal:
    atomic {
        word = 0; here = 0;
        if
        :: status[op[top]] != DECIDED -> goto clean
        :: else
        fi
    };
    announced[op[top]] = 1;
    atomic {
        if
        :: status[op[top]] == DECIDED -> status[op[top]] = DONE
        :: else
        fi
    };

clean:
    atomic {
        assert(IS_FINAL(status[op[top]]));
        assert(status[op[top]] == REFUSED || announced[op[top]] == 1);
        line = 0
    };
    do
    :: line == LINES -> break
    :: else ->
        atomic {
            if
            :: cell[CELL(op[top], line)] == MARK_OF(op[top], me) ->
                cell[CELL(op[top], line)] = MEANS(op[top], me, line)
            :: else
            fi;
            line++
        }
    od;
    /* leave */
    atomic {
        drivers[op[top]]--;
        at[top] = 0;
        op[top] = 0;
        line = 0;
#ifdef ABORT
        if
        :: top == 0 && aborted[own] ->
            /* somebody was faster: once more, with a new operation */
            aborted[own] = 0; status[own] = UNDECIDED; drivers[own] = 1; op[0] = own;
            winner[LINE(own, 0)] = 0; winner[LINE(own, 1)] = 0;
            goto drive
        :: else
        fi;
#endif
        if
        :: top == 0 -> goto done
        :: top == 1 && own == OPS -> top = 0; goto buy
        :: else -> top--; goto drive
        fi
    };

settle:
    /* met in `here`: a mark of another operation */
    atomic { other = OP_OF(word); line = (IS_FINAL(status[other]) -> 1 : 0) };
    if
    :: line == 1 ->
        line = 0;
        atomic {
            if
            :: cell[here] == word ->
                cell[here] = MEANS(other, WHO_OF(word), here - FIRST_CELL(other))
            :: else
            fi
        }
#ifdef ABORT
    :: line != 1 && status[other] == UNDECIDED ->
        /* the bug that helping is there to avoid: undo whoever is in the way */
        atomic {
            if
            :: status[other] == UNDECIDED -> status[other] = REFUSED; aborted[other] = 1
            :: else
            fi
        }
#endif
    :: else ->
        atomic {
            if
            :: !IS_FINAL(status[other]) && drivers[other] > 0 ->
                drivers[other]++;
                top++;
                assert(top < DEPTH);
                op[top] = other;
                at[top] = 0;
                goto drive
            :: else
            fi
        }
    fi;
    if
    :: own == OPS && top == 0 -> goto buy
    :: else -> goto drive
    fi;

buy:
    /* a buyer takes a unit and gives it back, for ever: whatever he does is progress */
    atomic {
        other = 0;
        here = BUYER_CELL;
        word = cell[here];
        if
        :: IS_MARK(word) -> goto settle
        :: else
        fi
    };
    atomic {
        if
        :: cell[here] == word && bought == 0 && word > 0 -> cell[here] = word - 1; bought = 1
        :: cell[here] == word && bought == 1 -> cell[here] = word + 1; bought = 0
        :: else -> goto buy_failed
        fi
    };
progress_bought:
    skip;
buy_failed:
    if
    :: word == 0 && bought == 0 -> goto end_buyer       /* refused: nothing is left to take */
    :: else
    fi;
    if
    :: finished == OPS && bought == 0 -> goto done
    :: else -> goto buy
    fi;

done:
    if
    :: own < OPS -> atomic { finished++ }
    :: else
    fi;
end_buyer:
    ended++
}

init {
    atomic {
        run thread(0, 0);
        run thread(1, 1);
        run thread(2, OPS)
    };
    (ended == THREADS);
    /* everything has come to an end: no marks, and every unit is where it should be */
    byte total, expected, i;
    d_step {
        i = 0;
        do
        :: i == CELLS -> break
        :: else -> assert(!IS_MARK(cell[i])); total = total + cell[i]; i++
        od;
        expected = CELLS * START - bought;
        i = 0;
        do
        :: i == OPS -> break
        :: else ->
            assert(IS_FINAL(status[i]) && drivers[i] == 0);
            expected = expected - (status[i] == DONE -> LINES : 0);
            i++
        od;
        assert(total == expected)
    }
}
