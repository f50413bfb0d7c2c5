//! The journal on disk, through the program: what an outage, a crash, a stop, a full disk and damage
//! mean for the slot and for the sinks. The numbers are rows of the fault matrix.

mod beds;
mod damage;
mod folders;
mod fork;
mod full_disk;
mod outage;
mod stop;
