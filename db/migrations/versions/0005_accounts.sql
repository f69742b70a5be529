ALTER TABLE audit ADD COLUMN address TEXT;

CREATE TABLE accounts (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    tags TEXT[],
    password_hash TEXT,
    subject TEXT,
    disabled BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    signed_in_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT accounts_pkey PRIMARY KEY (id),
    CONSTRAINT accounts_subject_key UNIQUE (subject),
    CONSTRAINT accounts_role_known CHECK (role IN ('admin', 'editor', 'operator', 'viewer')),
    CONSTRAINT accounts_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT accounts_admin_is_not_limited CHECK (role <> 'admin' OR tags IS NULL),
    CONSTRAINT accounts_there_is_a_way_in CHECK (password_hash IS NOT NULL OR subject IS NOT NULL)
);
CREATE UNIQUE INDEX accounts_name_taken ON accounts (lower(name));

CREATE TABLE sign_ins (
    token_hash BYTEA NOT NULL,
    account_id UUID,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    address TEXT NOT NULL,
    CONSTRAINT sign_ins_pkey PRIMARY KEY (token_hash),
    CONSTRAINT sign_ins_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE CASCADE
);
CREATE INDEX sign_ins_of_account ON sign_ins (account_id);
CREATE INDEX sign_ins_by_end ON sign_ins (expires_at);

CREATE TABLE invitations (
    token_hash BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT invitations_pkey PRIMARY KEY (token_hash)
);

CREATE TABLE api_keys (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    account_id UUID,
    role TEXT NOT NULL,
    tags TEXT[],
    key_hash BYTEA NOT NULL,
    hint TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE CASCADE,
    CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash),
    CONSTRAINT api_keys_role_known CHECK (role IN ('admin', 'editor', 'operator', 'viewer')),
    CONSTRAINT api_keys_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT api_keys_admin_is_not_limited CHECK (role <> 'admin' OR tags IS NULL)
);
CREATE INDEX api_keys_of_account ON api_keys (account_id);
