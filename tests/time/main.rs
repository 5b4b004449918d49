//! Wrong clocks: a session whose clock was ahead, an opening that finds itself behind, and what
//! holds, keys, records, stock as of a time and retention make of it.

mod ahead;
mod apart;
mod behind;
mod journal_time;
mod one_reading;
mod shop;
mod stock_then;
