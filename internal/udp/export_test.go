package udp

// Method is the method in use, never ReceiveAuto.
func (r *Receiver) Method() ReceiveMethod { return r.method }
